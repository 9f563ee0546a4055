import type { Logger } from 'pino';
import type { LocalApp } from '../uses/local-app.js';
import type { LocalApps } from '../uses/local-apps.js';
import type { Peers } from '../membership/peers.js';
import type { NodeSession } from '../membership/session.js';
import type { StoreHealth } from '../membership/store-health.js';
import type { AppRecord, Cmdb } from '../cmdb/cmdb.js';
import type { Clock, Timer } from '../model/clock.js';
import { isUntaken } from '../model/asked-boot.js';
import { isAsked } from '../model/suspension.js';
import { type Deployment, findInstance } from '../model/deployment.js';
import { isReleased } from '../model/host-actions.js';
import { type EndReason, type Instance, isSuspended, sees, type Sight } from '../model/instance.js';
import { isUrgent, nextUpkeep, type Upkeep } from '../model/upkeep.js';
import type { SilentHosts } from './silent-hosts.js';
import { reap, toPause, toTerminate } from './reap-policy.js';
import type { Terminator } from './terminator.js';

export interface ReaperOptions {
  readonly cmdb: Cmdb;
  readonly apps: LocalApps;
  readonly session: NodeSession;
  readonly peers: Peers;
  readonly store: StoreHealth;
  readonly terminator: Terminator;
  readonly silentHosts: Pick<SilentHosts, 'remove'>;
  readonly sight: Sight;
  readonly clock: Clock;
  readonly logger: Logger;
  /** The app needs a boot that no request asks for. May be called again before it begins. */
  readonly onUpkeep: (app: string, upkeep: Upkeep) => void;
  /** A boot, a pause or a resume of the app waits for a node of this host to take it up. */
  readonly onAsked: (app: string) => void;
  /** Freezes an instance that is written as pausing by this node. */
  readonly pause: (app: string, instance: Instance) => void;
}

const tickMs = 500;
/** Apps taken from the schedule at once. */
const batch = 100;

/**
 * Asks the schedule which apps are due, carries out what the reap policy decides, and asks for the boots that upkeep wants. Its cost
 * is the number of due apps.
 */
export class Reaper {
  readonly #options: ReaperOptions;
  #timer: Timer | undefined;
  #ticking: Promise<void> | undefined;
  readonly #looks = new Set<Promise<void>>();
  #stopped = false;

  constructor(options: ReaperOptions) {
    this.#options = options;
    options.apps.onRecord((local) => this.#followRecord(local));
  }

  start(): void {
    if (this.#stopped) return;
    this.#timer = this.#options.clock.after(tickMs, () => {
      this.#ticking = this.#tick().finally(() => this.start());
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await Promise.all([this.#ticking, ...this.#looks]);
  }

  /** Looks at one app now. Never throws: what fails is due again. */
  async look(app: string): Promise<void> {
    // With a rival, the instances of this host may be another machine's.
    if (this.#stopped || this.#options.peers.rival) return;
    const look = this.#look(app).finally(() => this.#looks.delete(look));
    this.#looks.add(look);
    await look;
  }

  async #look(app: string): Promise<void> {
    const { cmdb, logger } = this.#options;
    try {
      const record = await cmdb.find({ app });
      if (!record) return;
      await this.#options.silentHosts.remove(record.deployment);
      const isEmpty = record.deployment.instances.length === 0;
      const deployment = isEmpty ? record.deployment : await this.#reap(record);
      this.#keepUp(record, deployment);
      const { sight, onAsked } = this.#options;
      const isForUs = (each: Instance) => (isUntaken(each) || isAsked(each)) && each.host === sight.host;
      if (deployment.instances.some(isForUs)) onAsked(app);
    } catch (error) {
      logger.debug({ err: error, app }, 'looking for what has to end failed; the app is due again');
    }
  }

  async #reap({ app: { name }, removed, deployment: before }: AppRecord): Promise<Deployment> {
    const { apps, session, peers, sight, clock, logger, terminator } = this.#options;
    const { deployment } = await apps.update(name, (current, stored) =>
      reap(current, stored, {
        ...sight,
        now: clock.now(),
        me: session.incarnation,
        verdict: (user) => session.verdict(user),
        mayEnd: peers.mayJudge,
        removed,
      }),
    );
    for (const { id, reason } of newlyEnding(before, deployment)) {
      logger.info({ app: name, instance: id, reason }, 'the instance has to go');
    }
    for (const id of toTerminate(deployment, session.incarnation)) void terminator.terminate(name, id);
    for (const instance of toPause(deployment, session.incarnation)) this.#options.pause(name, instance);
    return deployment;
  }

  /** Fills up as soon as the store is complete; replaces nothing before this node may judge. */
  #keepUp({ app, removed }: AppRecord, deployment: Deployment): void {
    const { peers, store, clock, onUpkeep } = this.#options;
    if (removed || this.#stopped || store.outage !== undefined || !store.isComplete) return;
    const upkeep = nextUpkeep(deployment, app, clock.now());
    if (upkeep && (upkeep.kind !== 'replace' || peers.mayJudge)) onUpkeep(app.name, upkeep);
  }

  async #tick(): Promise<void> {
    const { cmdb, clock, peers, store, logger } = this.#options;
    if (store.outage !== undefined || !peers.mayJudge) return;
    const due = await cmdb.due(clock.now(), batch).catch((error: unknown) => {
      logger.debug({ err: error }, 'could not read which apps are due; asking again');
      return [];
    });
    await Promise.all(due.map((app) => this.look(app)));
  }

  /** Looks at once, without the schedule, if a draining instance is released or scale.min wants one more. */
  #followRecord({ name, app, removed, deployment }: LocalApp): void {
    if (this.#stopped) return;
    const hasReleased = deployment.instances.some((each) => isReleased(each) && sees(this.#options.sight, each));
    const lacks = () => !removed && isUrgent(nextUpkeep(deployment, app, this.#options.clock.now()));
    if (hasReleased || (app.scale.min > 0 && lacks())) void this.look(name);
  }
}

function newlyEnding(before: Deployment, after: Deployment): { id: string; reason: EndReason }[] {
  const wasUp = (known: Instance | undefined) => known !== undefined && (known.state === 'ready' || isSuspended(known));
  return after.instances.flatMap(({ id, end }) =>
    end && wasUp(findInstance(before, id)) ? [{ id, reason: end.reason }] : [],
  );
}
