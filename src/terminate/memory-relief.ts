import type { Logger } from 'pino';
import type { LocalApps } from '../uses/local-apps.js';
import type { Peers } from '../membership/peers.js';
import type { NodeSession } from '../membership/session.js';
import type { StoreHealth } from '../membership/store-health.js';
import type { Uses } from '../uses/uses.js';
import type { AppRecord, Cmdb } from '../cmdb/cmdb.js';
import type { ReadMemory } from '../machine/host-memory.js';
import type { Clock, Timer } from '../model/clock.js';
import { defaultStopTimeoutMs, findInstance } from '../model/deployment.js';
import type { Instance, Sight } from '../model/instance.js';
import { endForMemory, type IdleInstance, idleInstances } from './memory-policy.js';
import type { Terminator } from './terminator.js';

export interface MemoryReliefOptions {
  readonly cmdb: Cmdb;
  readonly apps: LocalApps;
  readonly uses: Uses;
  readonly session: NodeSession;
  readonly peers: Peers;
  readonly store: StoreHealth;
  readonly terminator: Terminator;
  readonly sight: Sight;
  /** Below this idle instances are ended; undefined: never. */
  readonly floorBytes: number | undefined;
  readonly read: ReadMemory;
  readonly clock: Clock;
  readonly logger: Logger;
}

const tickMs = 1_000;
/** Minimum interval between reads of all active apps while none can be ended. */
const rescanMs = 2_000;

/**
 * While this host is short of memory, ends idle instances one by one, the longest idle first. Looks at the memory once a second, and
 * reads the active apps only while it is short.
 */
export class MemoryRelief {
  readonly #options: MemoryReliefOptions;
  #neededBytes = 0;
  #passing: Promise<void> | undefined;
  #fruitlessAt = -Infinity;
  #isShort = false;
  #timer: Timer | undefined;
  #stopped = false;

  constructor(options: MemoryReliefOptions) {
    this.#options = options;
  }

  start(): void {
    const { clock, floorBytes } = this.#options;
    if (this.#stopped || floorBytes === undefined) return;
    this.#timer = clock.after(tickMs, () => {
      this.#note(floorBytes);
      void this.relieve(floorBytes).finally(() => this.start());
    });
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#passing;
  }

  /** Ends idle instances until this many bytes are available, or none is left. Concurrent callers share the work. Never throws. */
  relieve(neededBytes: number): Promise<void> {
    this.#neededBytes = Math.max(this.#neededBytes, neededBytes);
    this.#passing ??= this.#pass().finally(() => {
      this.#passing = undefined;
      this.#neededBytes = 0;
    });
    return this.#passing;
  }

  async #pass(): Promise<void> {
    const { peers, store, clock, logger } = this.#options;
    if (!this.#lacks || store.outage !== undefined || !peers.mayJudge) return;
    if (clock.monotonic() - this.#fruitlessAt < rescanMs) return;
    let ended = 0;
    try {
      for (const idle of await this.#idle()) {
        if (!this.#lacks || this.#stopped) return;
        if (await this.#end(idle)) ended += 1;
      }
    } catch (error) {
      logger.debug({ err: error }, 'looking for instances to end for their memory failed; trying again');
    } finally {
      if (ended === 0) this.#fruitlessAt = clock.monotonic();
    }
  }

  get #lacks(): boolean {
    const memory = this.#options.read();
    return memory !== undefined && memory.availableBytes < this.#neededBytes;
  }

  async #idle(): Promise<IdleInstance[]> {
    const { cmdb, sight, clock } = this.#options;
    const records: AppRecord[] = [];
    for await (const record of cmdb.list('active')) records.push(record);
    return idleInstances(records, {
      ...sight,
      now: clock.now(),
      idleSince: (app, instance) => this.#idleSince(app, instance),
    });
  }

  /** Only of its own uses this node knows whether they are idle; an instance that another node uses is in use. */
  #idleSince(app: string, { id, users }: Instance): number | undefined {
    const { uses, session } = this.#options;
    return Object.keys(users).every((user) => user === session.incarnation) ? uses.idleSince(app, id) : undefined;
  }

  async #end({ app, id, idleSince }: IdleInstance): Promise<boolean> {
    const { apps, uses, session, terminator, clock, logger, read } = this.#options;
    const owner = session.incarnation;
    if (!(await uses.releaseIdle(app, id))) return false;
    const { deployment } = await apps.update(app, (current, stored) => {
      const stopTimeoutMs = stored?.stopTimeoutMs ?? defaultStopTimeoutMs;
      return endForMemory(current, stored, id, { owner, stopTimeoutMs }, clock.now());
    });
    const ending = findInstance(deployment, id);
    if (ending?.state !== 'terminating' || ending.owner !== owner) return false;
    const idleMs = clock.now() - idleSince;
    logger.warn(
      { app, instance: id, idleMs, ...read() },
      'memory is short: ending the instance that is idle for longest',
    );
    await terminator.terminate(app, id);
    return true;
  }

  /** Logs once when the shortage begins, and when it ends. */
  #note(floorBytes: number): void {
    const memory = this.#options.read();
    const isShort = memory !== undefined && memory.availableBytes < floorBytes;
    if (isShort === this.#isShort) return;
    this.#isShort = isShort;
    if (isShort) this.#options.logger.warn({ ...memory, floorBytes }, 'available memory is below memory.floor');
    else this.#options.logger.info({ ...memory, floorBytes }, 'available memory is above memory.floor again');
  }
}
