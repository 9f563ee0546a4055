import type { Logger } from 'pino';
import type { LocalApps } from '../uses/local-apps.js';
import type { Peers } from '../membership/peers.js';
import type { NodeSession } from '../membership/session.js';
import type { StoreHealth } from '../membership/store-health.js';
import type { StoreListener } from '../membership/store-listener.js';
import type { Cmdb } from '../cmdb/cmdb.js';
import type { RuntimeName } from '../model/app.js';
import type { Clock, Timer } from '../model/clock.js';
import { defaultStopTimeoutMs, instanceDied, startDrain } from '../model/deployment.js';
import { isForItsHost } from '../model/host-actions.js';
import { type Instance, sees, type Sight } from '../model/instance.js';
import { isUrgent, nextUpkeep } from '../model/upkeep.js';
import type { Runtime } from '../runtime/runtime.js';
import type { Reaper } from './reaper.js';
import type { Difference } from './reconcile-policy.js';
import { compare, seeOut, type Stray, takeIn } from './strays.js';
import { timesOf } from './times.js';

export interface ReconcilerOptions {
  readonly cmdb: Cmdb;
  readonly apps: LocalApps;
  readonly session: NodeSession;
  readonly peers: Peers;
  readonly store: StoreHealth;
  readonly runtimes: ReadonlyMap<RuntimeName, Runtime>;
  readonly reaper: Reaper;
  readonly sight: Sight;
  /** Whether an app with local mounts stays on the host on which it runs. */
  readonly pins: boolean;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Time between two passes; a tenth of it before each of the first two. */
  readonly periodMs: number;
}

/** Upper bound for looks under way. */
const looksAtOnce = 50;

/**
 * Brings CMDB and runtimes together again after a restart, a crash between two writes, or a replaced store. One node per host does it
 * at a time.
 */
export class Reconciler implements StoreListener {
  readonly #options: ReconcilerOptions;
  #seen = new Set<string>();
  #timer: Timer | undefined;
  #passing: Promise<void> | undefined;
  #passes = 0;
  #stopped = false;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
  }

  start(): void {
    if (this.#stopped) return;
    const { clock, periodMs } = this.#options;
    this.#timer = clock.after(this.#passes < 2 ? periodMs / 10 : periodMs, () => {
      this.#passing = this.pass().finally(() => {
        this.#passing = undefined;
        this.start();
      });
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#passing;
  }

  /** A node of this host died: its leader settles at once what that left. Never throws. */
  async takeOver(): Promise<void> {
    const { session, store } = this.#options;
    // Twice: a beat that is under way may have been sent before the node died.
    await session.beat();
    await session.beat();
    if (!session.leadsHost || store.outage !== undefined) return;
    await this.#recover('settling what a dead node left failed');
    this.again();
  }

  /** Looks at once at the apps of silent hosts: scale.min or waiting requests may need other instances. */
  async hostsSilent(hosts: readonly string[]): Promise<void> {
    const { logger } = this.#options;
    logger.warn({ hosts }, 'these hosts have no live dispatcher; their instances are used while they answer');
    await this.#recover('looking at the apps of silent hosts failed');
  }

  /** Settles what dead sessions left in the CMDB (uses, claims, terminations), and boots what scale.min wants. Throws if the store is away. */
  async recover(): Promise<void> {
    const { cmdb, session, peers, reaper, sight, clock } = this.#options;
    const looking = new Set<Promise<void>>();
    for await (const record of cmdb.list('active')) {
      const { app, removed, deployment } = record;
      const lacks = !removed && isUrgent(nextUpkeep(deployment, app, clock.now()));
      const isDue = (instance: Instance) =>
        leftBehind(instance, session, peers) ||
        (sees(sight, instance) && (isOverdue(instance, clock.now()) || isForItsHost(instance)));
      if (!lacks && !deployment.instances.some(isDue)) continue;
      // Each look at a silent host waits for its attempt to connect.
      const look = reaper.look(app.name).finally(() => looking.delete(look));
      looking.add(look);
      if (looking.size >= looksAtOnce) await Promise.race(looking);
    }
    await Promise.all(looking);
  }

  /** One comparison of the CMDB with every runtime. Never throws; a failed listing changes nothing. */
  async pass(): Promise<void> {
    const { session, peers, store, runtimes, logger } = this.#options;
    if (store.outage !== undefined || !peers.mayJudge || !store.isComplete) return;
    if (!session.leadsHost) return this.#stepBack();
    try {
      await this.recover();
      const seen = new Set<string>();
      for (const runtime of runtimes.values()) await this.#compare(runtime, seen);
      this.#seen = seen;
      this.#passes += 1;
    } catch (error) {
      logger.warn({ err: error }, 'comparing the CMDB with the runtimes failed; trying again later');
    }
  }

  /** Brings the next two comparisons forward, which find what is gone or was left. */
  again(): void {
    this.#passes = 0;
    if (!this.#timer || this.#passing) return;
    this.#timer.cancel();
    this.start();
  }

  async #recover(failure: string): Promise<void> {
    await this.recover().catch((error: unknown) => {
      this.#options.logger.warn({ err: error }, `${failure}; trying again with the next comparison`);
    });
  }

  /** Another node of this host compares; if it dies, this one begins anew. */
  #stepBack(): void {
    this.#seen = new Set();
    this.#passes = 0;
  }

  async #compare(runtime: Runtime, seen: Set<string>): Promise<void> {
    const { logger } = this.#options;
    const found = await compare(this.#options, runtime).catch((error: unknown) => {
      logger.warn({ err: error, runtime: runtime.name }, 'listing the containers failed; nothing is judged by it');
      return [];
    });
    for (const difference of found) {
      if (difference.kind === 'frozen') {
        await this.#thaw(runtime, difference);
        continue;
      }
      const key = `${difference.kind} ${difference.id}`;
      if (!this.#seen.has(key)) seen.add(key);
      else if (difference.kind === 'gone') await this.#removeGone(runtime, difference);
      else await this.#settleStray(runtime, difference);
    }
  }

  /** At once: running is right for all that is written as ready, whatever changes meanwhile. What cannot run again ends. */
  async #thaw(runtime: Runtime, { app, id }: Difference): Promise<void> {
    const { apps, clock, logger } = this.#options;
    try {
      await runtime.suspender?.resume(id);
      logger.warn({ app, instance: id }, 'an instance that is written as ready was frozen; it runs again');
    } catch (error) {
      const what = 'an instance that is written as ready is frozen and cannot be resumed; it ends';
      logger.warn({ err: error, app, instance: id }, what);
      await apps.update(app, (deployment) => startDrain(deployment, id, 'resume_failed', clock.now()));
    }
  }

  async #removeGone(runtime: Runtime, { app, id }: Difference): Promise<void> {
    const { apps, clock, logger } = this.#options;
    logger.warn({ app, instance: id }, 'the CMDB holds an instance that the runtime does not run; removing it');
    const exit = 'it was not found running';
    const ran = await timesOf(runtime, id);
    await apps.update(app, (deployment) => instanceDied(deployment, id, exit, clock.now()), { exit, ran });
    await runtime.stop(id, 0);
  }

  async #settleStray(runtime: Runtime, stray: Stray): Promise<void> {
    const { reaper, logger } = this.#options;
    const { app, id, found } = stray;
    if (!found.running) return runtime.stop(id, 0);
    const taken = await takeIn(this.#options, runtime, stray, false);
    if (taken === 'taken_in') {
      logger.warn({ app, instance: id }, 'found a running container that the CMDB did not know; it is used again');
      return;
    }
    logger.warn({ app, instance: id }, 'found a running container that fits no app; it is terminated');
    if (taken === 'unknown_app') return runtime.stop(id, defaultStopTimeoutMs);
    await seeOut(this.#options, runtime, stray);
    await reaper.look(app);
  }
}

/** Whether it is past its deadline. The schedule may give its app, each time, to nodes of other hosts, which cannot act on it. */
function isOverdue({ deadlineAt }: Instance, now: number): boolean {
  return deadlineAt !== undefined && now >= deadlineAt;
}

function leftBehind(instance: Instance, session: NodeSession, peers: Peers): boolean {
  if (!peers.isSeen(instance)) return true;
  const sessions = [...Object.keys(instance.users), ...(instance.owner === undefined ? [] : [instance.owner])];
  return sessions.some((incarnation) => session.verdict(incarnation) !== 'alive');
}
