import type { Activity } from '../model/why.js';
import type { Logger } from 'pino';
import { type Clock, sleep } from '../model/clock.js';
import { findInstance } from '../model/deployment.js';
import { type Instance, isSuspended } from '../model/instance.js';
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
  /** A seat came free while requests wait for this app. */
  readonly onSeatFreed: (local: LocalApp) => void;
  /** Nothing more is sent to this instance: its connections can close. */
  readonly onEnded: (instanceId: string) => void;
}

/** Pause between attempts at a hand-over while the store is away. */
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

  /** Registers this node as user of a ready instance. Undefined if the instance is no longer ready. */
  open(local: LocalApp, instanceId: string): Promise<Use | undefined> {
    return shared(this.#opening, instanceId, () => this.#register(local, instanceId));
  }

  /** Takes up a use that the last write has registered, as a boot that succeeded here does. Undefined if it has not. */
  takeUp(local: LocalApp, instanceId: string): Use | undefined {
    const known = local.uses.get(instanceId);
    if (known) return known;
    const instance = findInstance(local.deployment, instanceId);
    if (instance?.state !== 'ready' || !instance.address || !instance.users[this.#me]) return undefined;
    const { id, address, host, runtime, runtimeId } = instance;
    const location = { host, runtime, ...(runtimeId === undefined ? {} : { runtimeId }) };
    const use = new Use(local, { id, address, ...location }, this, this.#options.clock);
    // A replacement is no activity: an app whose lifetime is shorter than its idle TTL would never end.
    if (local.waiting === 0 && local.uses.size > 0) {
      const before = Math.max(...[...local.uses.values()].map(({ lastActiveAt }) => lastActiveAt));
      // `before` is in the future while an instance works on; this one does not.
      use.lastActiveAt = Math.min(use.lastActiveAt, before);
    }
    // Nor is the request that it was opened for, if that does not count; but it is used.
    if (local.waiting > 0 && local.waiting === local.waitingUncounted) {
      use.lastUncountedAt = use.lastActiveAt;
      use.lastActiveAt = Math.min(use.lastActiveAt, instance.lastActiveAt);
    }
    this.#share(use, instance);
    local.addUse(use);
    this.#watchIdle(use);
    return use;
  }

  /**
   * Takes this node out of the users of an instance that it does not use, in the background until it is written: an attempt of unknown
   * outcome may have registered it.
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
   * Registers all uses under the session's new incarnation; until then they take nothing new. A store that lacks their instances gets
   * them back until `republishUntil` (monotonic milliseconds); after that a use whose instance is gone ends. Tries again while the
   * store is away. Resolves when no use is left under an old incarnation. Never throws.
   */
  async renew(republishUntil?: number): Promise<void> {
    await this.#renewal.renew(this.#all(), republishUntil);
  }

  /** Resolves when there was an attempt for each use that is to be registered anew. */
  async renewalTried(): Promise<void> {
    await this.#renewal.tried();
  }

  /** Releases everything once nothing is under way; past `deadlineMs` it is broken off. */
  async releaseAll(deadlineMs: number): Promise<void> {
    this.#stopped = true;
    for (const use of this.#draining) use.isDraining = false;
    this.#writes.stop();
    await Promise.all(this.#all().map((use) => this.#drain(use, deadlineMs)));
    // Releases that were under way before have to be written as well.
    await this.#writes.settled();
  }

  /** What goes on at each instance that this node uses, by instance id. */
  activity(): ReadonlyMap<string, Activity> {
    return new Map(
      this.#all().map(({ instanceId, inflight, counting, lastActiveAt }) => [
        instanceId,
        { inflight, counting, users: 1, lastActiveAt },
      ]),
    );
  }

  /** Since when nothing is under way here to an instance that this node uses; undefined if something is. */
  idleSince(app: string, instanceId: string): number | undefined {
    const use = this.#options.apps.get(app)?.uses.get(instanceId);
    return use?.inflight === 0 ? use.lastActiveAt : undefined;
  }

  /** Gives up the use of an instance if nothing is under way to it; else false. */
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
      // After an outage this may come late: the use is quiet again, or released.
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
    // It was registered as one that is active.
    use.quiet = false;
    use.closed = false;
    this.seatFreed(use);
  }

  /** Follows the deployment: drains the use of an instance that drains, and ends that of one that is gone. */
  #followRecord(local: LocalApp): void {
    for (const use of [...local.uses.values()]) {
      const instance = findInstance(local.deployment, use.instanceId);
      if (!instance && this.#renewal.isRepublishing(use)) continue;
      // It is suspended if this node was given up meanwhile.
      if (!instance || instance.state === 'terminating' || isSuspended(instance)) {
        this.#end(use, 'instance_gone');
        continue;
      }
      this.#share(use, instance);
      if (instance.state === 'draining') void this.#handOver(use);
      else if (use.watchedLimitMs !== idleLimitMs(use)) this.#watchIdle(use);
    }
  }

  /** Takes this node's new share: other nodes came or went, or the app's concurrency changed. */
  #share(use: Use, instance: Instance): void {
    const { max } = use;
    Object.assign(use, fairShare(use.local.app.concurrency, instance.users, this.#me));
    if (use.max > max) this.seatFreed(use);
  }

  /**
   * The instance drains. If another one is ready, this node opens its use of that first, so that no request waits; while the store is
   * away, the old one serves on.
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

  /** False if the store could not be reached. */
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
    // Without overlap all others wait until it has ended.
    use.isDraining = use.local.app.overlap && !this.#stopped;
    const timer = this.#options.clock.after(timeoutMs, () => {
      use.isDraining = false;
      use.cut('drain_timeout');
    });
    do await use.empty();
    while (use.inflight > 0);
    use.isDraining = false;
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
      // Opened again since: this is the release of a former use.
      if (this.#options.apps.get(app)?.uses.has(instanceId)) return deployment;
      return this.#myNames(deployment, instanceId).reduce(
        (next, name) => releaseUser(next, instanceId, name, lastActiveAt),
        deployment,
      );
    };
  }

  /** The incarnations of this process among an instance's users: the present one, and former ones not renewed yet. */
  #myNames(deployment: LocalApp['deployment'], instanceId: string): string[] {
    const { session } = this.#options;
    const users = Object.keys(findInstance(deployment, instanceId)?.users ?? {});
    return users.filter((user) => user === this.#me || session.isFormer(user));
  }

  #end(use: Use, reason: CutReason): void {
    if (!this.#forget(use)) return;
    use.cut(reason);
    // It may still be there: a replaced store without the app's record shows none of its instances.
    this.disown(use.local.name, use.instanceId);
    this.#options.apps.letGo(use.local);
  }

  #forget(use: Use): boolean {
    use.closed = true;
    use.isDraining = false;
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
    const sinceUncounted = this.#options.clock.now() - use.lastUncountedAt;
    if (use.inflight === 0 && sinceUncounted >= idleLimitMs(use)) {
      // While the store is away, the use could neither be released nor opened again: it stays.
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
