import type { Logger } from 'pino';
import { type Clock, sleep } from '../model/clock.js';
import { findInstance } from '../model/deployment.js';
import type { Instance } from '../model/instance.js';
import { shared } from '../model/shared-work.js';
import { quietUser, registerUser, releaseUser } from '../model/users.js';
import { fairShare } from './fair-share.js';
import { idleLimitMs, watchIdle } from './idle-watch.js';
import type { LocalApp } from './local-app.js';
import type { LocalApps } from './local-apps.js';
import type { CutReason } from './seat.js';
import type { NodeSession } from '../membership/session.js';
import type { StoreHealth } from '../membership/store-health.js';
import { Use, type UseOwner } from './use.js';
import { type RenewalOutcome, UseRenewal } from './use-renewal.js';
import { type UseChange, UseWrites } from './use-writes.js';

export interface UsesOptions {
  readonly apps: LocalApps;
  readonly session: Pick<NodeSession, 'incarnation' | 'ensureRegistered' | 'isFormer'>;
  readonly store: Pick<StoreHealth, 'outage' | 'isComplete'>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** A place came free while requests wait for this app. */
  readonly onSeatFreed: (local: LocalApp) => void;
  /** Nothing will be sent to this instance any more: its connections can go. */
  readonly onEnded: (instanceId: string) => void;
}

/** While the store is away, a hand-over is tried again this often. */
const retryHandOverMs = 3_000;

/** This node's uses of instances: registered with one update, released lazily with the true time of last activity. */
export class Uses implements UseOwner {
  readonly #options: UsesOptions;
  readonly #opening = new Map<string, Promise<Use | undefined>>();
  readonly #draining = new Set<Use>();
  readonly #handingOver = new Set<Use>();
  #stopped = false;
  readonly #writes: UseWrites;
  readonly #renewal: UseRenewal;

  constructor(options: UsesOptions) {
    this.#options = options;
    this.#writes = new UseWrites(options);
    this.#renewal = new UseRenewal({
      ...options,
      writes: this.#writes,
      onOutcome: (use, outcome) => this.#onRenewed(use, outcome),
    });
    options.apps.onRecord((local) => this.#followRecord(local));
  }

  /** Registers this node as user of a ready instance. Undefined where the instance is not ready any more. */
  open(local: LocalApp, instanceId: string): Promise<Use | undefined> {
    return shared(this.#opening, instanceId, () => this.#register(local, instanceId));
  }

  /** Takes up a use that the write just made has registered already (a boot that succeeded here). */
  takeUp(local: LocalApp, instanceId: string): Use | undefined {
    const known = local.uses.get(instanceId);
    if (known) return known;
    const instance = findInstance(local.deployment, instanceId);
    if (instance?.state !== 'ready' || !instance.address || !instance.users[this.#me]) return undefined;
    const { id, address, host, runtime, runtimeId } = instance;
    const location = { host, runtime, ...(runtimeId === undefined ? {} : { runtimeId }) };
    const use = new Use(local, { id, address, ...location }, this, this.#options.clock);
    // A successor that nobody asked for is no activity: else an app that lives shorter than it may idle would never end.
    if (local.waiting === 0 && local.uses.size > 0) {
      const before = Math.max(...[...local.uses.values()].map(({ lastActiveAt }) => lastActiveAt));
      // Nor does it do the work that another one is busy with.
      use.lastActiveAt = Math.min(use.lastActiveAt, before);
    }
    this.#share(use, instance);
    local.addUse(use);
    this.#watchIdle(use);
    return use;
  }

  /**
   * Takes this node out of the users of an instance that it does not use. An attempt whose outcome was unknown may have
   * registered it all the same: what it does not use it does not hold. In the background, until it is written.
   */
  disown(app: string, instanceId: string): undefined {
    void this.#writes.write(app, instanceId, this.#withoutMe(app, instanceId, 0));
  }

  /** The instance is dead: whatever is under way is broken off. */
  end(local: LocalApp, instanceId: string, reason: CutReason): void {
    const use = local.uses.get(instanceId);
    if (use) this.#end(use, reason);
  }

  /**
   * Registers all uses under the session's new incarnation, those in flight first; until then nothing new is sent. A store
   * that lacks the instances gets them back until `republishUntil`, in monotonic milliseconds; else a use whose instance is gone ends. While
   * the store is away, it is tried again. Resolves when none stands under an old incarnation any more. Never throws.
   */
  async renew(republishUntil?: number): Promise<void> {
    await this.#renewal.renew(this.#all(), republishUntil);
  }

  /** Resolves when each use that is to be registered anew has been tried. */
  async renewalTried(): Promise<void> {
    await this.#renewal.tried();
  }

  /** Releases everything once nothing is under way; past `deadlineMs` it is broken off. */
  async releaseAll(deadlineMs: number): Promise<void> {
    this.#stopped = true;
    this.#writes.stop();
    await Promise.all(this.#all().map((use) => this.#drain(use, deadlineMs)));
    // A release that was under way already is of no use any more, but it has to be written as well.
    await this.#writes.settled();
  }

  /** What is under way here to each instance that this node uses, by instance id. */
  inflight(): ReadonlyMap<string, number> {
    return new Map(this.#all().map((use) => [use.instanceId, use.inflight]));
  }

  /** Since when nothing is under way here to an instance that this node uses; undefined where something is. */
  idleSince(app: string, instanceId: string): number | undefined {
    const use = this.#options.apps.get(app)?.uses.get(instanceId);
    return use?.inflight === 0 ? use.lastActiveAt : undefined;
  }

  /** Gives up the use of an instance where nothing is under way to it. False where something is. */
  async releaseIdle(app: string, instanceId: string): Promise<boolean> {
    const use = this.#options.apps.get(app)?.uses.get(instanceId);
    if (!use) return true;
    if (use.inflight > 0) return false;
    use.closed = true;
    await this.#release(use);
    return true;
  }

  seatFreed(use: Use): void {
    if (use.local.waiting > 0) this.#options.onSeatFreed(use.local);
  }

  wokeUp(use: Use): void {
    void this.#writes.write(use.local.name, use.instanceId, (deployment, now) => {
      // Tried again after an outage, it may come after what made it void: the use quiet again, or released.
      if (use.quiet || !use.isCurrent) return deployment;
      return registerUser(deployment, use.instanceId, this.#me, now);
    });
  }

  get #me(): string {
    return this.#options.session.incarnation;
  }

  #all(): Use[] {
    return [...this.#options.apps.values()].flatMap((local) => [...local.uses.values()]);
  }

  async #register(local: LocalApp, instanceId: string): Promise<Use | undefined> {
    const { apps, clock, session } = this.#options;
    const register = async () => {
      const me = await session.ensureRegistered();
      await apps.update(local.name, (deployment) => registerUser(deployment, instanceId, me, clock.now()));
      return this.takeUp(local, instanceId) ?? this.disown(local.name, instanceId);
    };
    try {
      return await apps.during(local, () => this.#writes.inOrder(instanceId, register));
    } catch (error) {
      this.disown(local.name, instanceId);
      throw error;
    }
  }

  #onRenewed(use: Use, outcome: RenewalOutcome): void {
    if (outcome.kind === 'void') return this.disown(use.local.name, use.instanceId);
    if (outcome.kind === 'gone') return this.#end(use, 'instance_gone');
    if (outcome.instance.state !== 'ready' || this.#draining.has(use)) return;
    use.closed = false;
    this.seatFreed(use);
  }

  /** What the deployment says now: an instance that drains is drained here, one that is gone is let go. */
  #followRecord(local: LocalApp): void {
    for (const use of [...local.uses.values()]) {
      const instance = findInstance(local.deployment, use.instanceId);
      if (!instance && this.#renewal.isRepublishing(use)) continue;
      if (!instance || instance.state === 'terminating') {
        this.#end(use, 'instance_gone');
        continue;
      }
      this.#share(use, instance);
      if (instance.state === 'draining') void this.#handOver(use);
      else if (use.watchedLimitMs !== idleLimitMs(use)) this.#watchIdle(use);
    }
  }

  /** Other nodes came or went, or the app's concurrency changed; a larger share may serve who waits. */
  #share(use: Use, instance: Instance): void {
    const { max } = use;
    Object.assign(use, fairShare(use.local.app.concurrency, instance.users, this.#me));
    if (use.max > max) this.seatFreed(use);
  }

  /**
   * The instance drains. Where another one is ready already, this node's use of it stands before this one is closed, so that
   * no request waits for it; while the store is away, what is known goes on to be used.
   */
  async #handOver(use: Use): Promise<void> {
    if (this.#handingOver.has(use)) return;
    this.#handingOver.add(use);
    for (;;) {
      const next = use.closed || this.#stopped ? undefined : use.local.unusedInstance;
      if (next === undefined || (await this.#takeUpOrOpen(use.local, next))) break;
      await sleep(this.#options.clock, retryHandOverMs);
    }
    this.#handingOver.delete(use);
    await this.#drain(use, use.local.app.drainTimeoutMs);
  }

  /** False where the store could not be reached. */
  async #takeUpOrOpen(local: LocalApp, instanceId: string): Promise<boolean> {
    if (this.takeUp(local, instanceId)) return true;
    return this.open(local, instanceId).then(
      () => true,
      () => false,
    );
  }

  /** Lets what is under way finish, except connections that are silent for the idle TTL, and then releases. */
  async #drain(use: Use, timeoutMs: number): Promise<void> {
    use.closed = true;
    if (this.#draining.has(use)) return;
    this.#draining.add(use);
    use.cut('idle', 'silent');
    const timer = this.#options.clock.after(timeoutMs, () => use.cut('drain_timeout'));
    await use.empty();
    timer.cancel();
    this.#draining.delete(use);
    await this.#release(use);
  }

  async #release(use: Use): Promise<void> {
    if (!this.#forget(use)) return;
    const { local, instanceId, lastActiveAt } = use;
    await this.#writes.write(local.name, instanceId, this.#withoutMe(local.name, instanceId, lastActiveAt));
    this.#options.apps.letGo(local);
  }

  #withoutMe(app: string, instanceId: string, lastActiveAt: number): UseChange {
    return (deployment) => {
      // Opened again since: the use that stands now is another one, under the same name.
      if (this.#options.apps.get(app)?.uses.has(instanceId)) return deployment;
      return this.#myNames(deployment, instanceId).reduce(
        (next, name) => releaseUser(next, instanceId, name, lastActiveAt),
        deployment,
      );
    };
  }

  /** The names under which this process is among an instance's users: its present one, and former ones not renewed yet. */
  #myNames(deployment: LocalApp['deployment'], instanceId: string): string[] {
    const { session } = this.#options;
    const users = Object.keys(findInstance(deployment, instanceId)?.users ?? {});
    return users.filter((user) => user === this.#me || session.isFormer(user));
  }

  #end(use: Use, reason: CutReason): void {
    if (!this.#forget(use)) return;
    use.cut(reason);
    // It may be there all the same: a store that came back without the app's record shows none of its instances.
    this.disown(use.local.name, use.instanceId);
    this.#options.apps.letGo(use.local);
  }

  #forget(use: Use): boolean {
    use.closed = true;
    use.unwatch();
    if (use.local.uses.get(use.instanceId) !== use) return false;
    use.local.removeUse(use);
    this.#options.onEnded(use.instanceId);
    return true;
  }

  #watchIdle(use: Use): void {
    watchIdle(use, this.#options.clock, (quiet) => this.#fallQuiet(quiet));
  }

  #fallQuiet(use: Use): void {
    if (use.inflight === 0) {
      // A store that is away takes no release, and lets no use begin anew: what is known is kept.
      if (this.#options.store.outage !== undefined) return;
      use.closed = true;
      void this.#release(use);
      return;
    }
    if (use.quiet) return;
    use.quiet = true;
    void this.#writes.write(use.local.name, use.instanceId, (deployment) => {
      if (!use.quiet || !use.isCurrent) return deployment;
      return quietUser(deployment, use.instanceId, this.#me, use.lastActiveAt);
    });
  }
}
