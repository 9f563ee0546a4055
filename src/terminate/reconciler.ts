import type { Logger } from 'pino';
import type { LocalApps } from '../check/local-apps.js';
import type { NodeSession } from '../check/session.js';
import type { AppRecord, Cmdb } from '../cmdb/cmdb.js';
import type { RuntimeName } from '../model/app.js';
import type { Clock, Timer } from '../model/clock.js';
import { adopt, instanceDied, startTerminate } from '../model/deployment.js';
import type { Instance } from '../model/instance.js';
import { nextUpkeep } from '../model/upkeep.js';
import type { Runtime } from '../runtime/runtime.js';
import { adoptable, differences, type Difference } from './reconcile-policy.js';
import type { Reaper } from './reaper.js';
import type { Terminator } from './terminator.js';

export interface ReconcilerOptions {
  readonly cmdb: Cmdb;
  readonly apps: LocalApps;
  readonly session: NodeSession;
  readonly runtimes: ReadonlyMap<RuntimeName, Runtime>;
  readonly reaper: Reaper;
  readonly terminator: Terminator;
  readonly host: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Between two passes; the first two follow each other after a tenth of it. */
  readonly periodMs: number;
}

/** Grace of a container whose app is unknown. */
const strayStopTimeoutMs = 10_000;

/** Apps that are looked at beside each other. */
const looksAtOnce = 50;

/**
 * Brings CMDB and runtimes together again: after a restart, a crash between two writes, a store that lost some. Of the
 * nodes on a machine one does it at a time.
 */
export class Reconciler {
  readonly #options: ReconcilerOptions;
  #seen = new Set<string>();
  #timer: Timer | undefined;
  #passing: Promise<void> | undefined;
  #passes = 0;
  #isPassing = false;
  #stopped = false;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
  }

  start(): void {
    if (this.#stopped) return;
    const { clock, periodMs } = this.#options;
    this.#timer = clock.after(this.#passes < 2 ? periodMs / 10 : periodMs, () => {
      this.#isPassing = true;
      this.#passing = this.pass().finally(() => {
        this.#isPassing = false;
        this.start();
      });
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#passing;
  }

  /** A node of this machine died: what it left is settled at once, by the first of those that live. Never throws. */
  async takeOver(): Promise<void> {
    const { session, logger } = this.#options;
    // Twice: the beat that is under way may have been sent before it died.
    await session.beat();
    await session.beat();
    if (!session.leadsHost || session.outage !== undefined) return;
    await this.recover().catch((error: unknown) => {
      logger.warn({ err: error }, 'settling what a dead node left failed; trying again with the next comparison');
    });
    // What died with it, or just before, shows in the next two comparisons.
    this.compareSoon();
  }

  /** What the CMDB says may be wrong: the next two comparisons follow soon, as after a start. */
  compareSoon(): void {
    this.#passes = 0;
    this.#restart();
  }

  /** Settles what dead sessions left in the CMDB (uses, claims, terminations), and boots what scale.min wants. Throws where the store is away. */
  async recover(): Promise<void> {
    const { cmdb, session, reaper, clock } = this.#options;
    const looking = new Set<Promise<void>>();
    for await (const record of cmdb.list('active')) {
      const { app, removed, deployment } = record;
      const lacks = !removed && nextUpkeep(deployment, app, clock.now())?.kind === 'fill';
      if (!lacks && !deployment.instances.some((instance) => leftBehind(instance, session))) continue;
      // A machine that is lost lets each look wait for its attempt to connect.
      const look = reaper.look(app.name).finally(() => looking.delete(look));
      looking.add(look);
      if (looking.size >= looksAtOnce) await Promise.race(looking);
    }
    await Promise.all(looking);
  }

  /** One comparison of the CMDB with every runtime. Never throws; a failed listing changes nothing. */
  async pass(): Promise<void> {
    const { session, runtimes, logger } = this.#options;
    if (session.outage !== undefined || !session.mayJudge || !session.storeIsComplete) return;
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

  /** Another node of this machine compares; should it die, this one begins from the beginning. */
  #stepBack(): void {
    this.#seen = new Set();
    this.#passes = 0;
  }

  #restart(): void {
    if (!this.#timer || this.#isPassing) return;
    this.#timer.cancel();
    this.start();
  }

  async #compare(runtime: Runtime, seen: Set<string>): Promise<void> {
    const { host, logger } = this.#options;
    const before = await this.#records();
    const found = await runtime.list().catch((error: unknown) => {
      logger.warn({ err: error, runtime: runtime.name }, 'listing the containers failed; nothing is judged by it');
      return undefined;
    });
    if (!found) return;
    const after = await this.#records();
    for (const difference of differences({ host, runtime: runtime.name, before, after, found })) {
      const key = `${difference.kind} ${difference.id}`;
      if (!this.#seen.has(key)) seen.add(key);
      else if (difference.kind === 'lost') await this.#removeLost(runtime, difference);
      else await this.#settleStray(runtime, difference);
    }
  }

  async #records(): Promise<Map<string, AppRecord>> {
    const records = new Map<string, AppRecord>();
    for await (const record of this.#options.cmdb.list('active')) records.set(record.app.name, record);
    return records;
  }

  async #removeLost(runtime: Runtime, { app, id }: Difference): Promise<void> {
    const { apps, clock, logger } = this.#options;
    logger.warn({ app, instance: id }, 'the CMDB holds an instance that the runtime does not run; removing it');
    await apps.update(app, (deployment) => instanceDied(deployment, id, 'it was not found running', clock.now()));
    await runtime.stop(id, 0);
  }

  async #settleStray(runtime: Runtime, difference: Extract<Difference, { kind: 'stray' }>): Promise<void> {
    const { cmdb, apps, session, host, clock, logger, terminator } = this.#options;
    const { app, id, found } = difference;
    if (!found.running) return runtime.stop(id, 0);
    const record = await cmdb.find({ app });
    // One that does not listen would be asked by every request and serve none. Undefined: the runtime cannot tell.
    const inspection = await runtime.inspect(id);
    const isDeaf = inspection.state !== 'running' || inspection.listening === false;
    const instance = isDeaf ? undefined : adoptable(found, record, host, clock.now());
    if (instance) {
      logger.warn({ app, instance: id }, 'found a running container that the CMDB did not know; it is used again');
      await apps.update(app, (deployment) => adopt(deployment, instance));
      return;
    }
    logger.warn({ app, instance: id }, 'found a running container that fits no app; it is terminated');
    if (!record) return runtime.stop(id, strayStopTimeoutMs);
    const owner = session.incarnation;
    const { stopTimeoutMs } = record.app;
    await apps.update(app, (deployment) =>
      startTerminate(
        adopt(deployment, doomed(difference, runtime, host, owner, clock.now())),
        id,
        {
          owner,
          reason: 'orphaned',
          stopTimeoutMs,
        },
        clock.now(),
      ),
    );
    await terminator.terminate(app, id);
  }
}

function leftBehind(instance: Instance, session: NodeSession): boolean {
  if (!session.isHostLive(instance.host)) return true;
  const sessions = [...Object.keys(instance.users), ...(instance.owner === undefined ? [] : [instance.owner])];
  return sessions.some((incarnation) => session.verdict(incarnation) !== 'alive');
}

/** A container that is in no document gets an entry, so that its doom is written before it is stopped. */
function doomed(
  { id, found }: Extract<Difference, { kind: 'stray' }>,
  runtime: Runtime,
  host: string,
  owner: string,
  now: number,
): Instance {
  return {
    id,
    revision: found.revision,
    state: 'booting',
    runtime: runtime.name,
    host,
    owner,
    bootedAt: now,
    lastActiveAt: now,
    users: {},
    boot: {},
  };
}
