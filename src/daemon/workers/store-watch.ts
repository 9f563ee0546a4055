import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import type { NodeStatus } from '../../admin/node-routes.js';
import type { Cmdb, Session } from '../../cmdb/cmdb.js';
import type { Clock, Timer } from '../../model/clock.js';
import { type SessionTiming, silentAfterMs } from '../../membership/session-timing.js';
import { StoreHealth } from '../../membership/store-health.js';

export interface StoreWatchOptions {
  readonly cmdb: Cmdb;
  readonly host: string;
  readonly process: Session['process'];
  readonly clock: Clock;
  readonly logger: Logger;
  /** It looks as often as a node beats. */
  readonly timing: Pick<SessionTiming, 'ttlMs' | 'beatMs'>;
  /** The store is another one than before: it came back empty, or a replica took over. */
  readonly onReplaced: () => void;
}

/**
 * Asks the store for a process that is no node: its session is taken out of the store by the very beat that writes it, so that
 * no node sees it or counts on it.
 */
export class StoreWatch {
  readonly health: StoreHealth;
  readonly #options: StoreWatchOptions;
  /** By incarnation, with the time at which its counter was last seen to move. */
  #observed: ReadonlyMap<string, { readonly session: Session; readonly movedAt: number }> = new Map();
  #timer: Timer | undefined;
  #looking: Promise<void> | undefined;
  #stopped = false;

  constructor(options: StoreWatchOptions) {
    this.#options = options;
    this.health = new StoreHealth(options.timing.ttlMs, options.clock);
  }

  /** Those that had a session in the store at the last answer. */
  get nodes(): readonly NodeStatus[] {
    const { timing, clock } = this.#options;
    const isSilent = (movedAt: number) => this.health.isSteady && clock.monotonic() - movedAt > silentAfterMs(timing);
    return [...this.#observed.values()].map(({ session, movedAt }) => ({ session, isSilent: isSilent(movedAt) }));
  }

  /** Looks once now and goes on in the background. Resolves after the first look, whatever came of it. */
  async start(): Promise<void> {
    const { timing, clock } = this.#options;
    await this.look();
    if (!this.#stopped) this.#timer = clock.after(timing.beatMs, () => void this.start());
  }

  /** Looks now; concurrent callers share it. Never throws. */
  look(): Promise<void> {
    this.#looking ??= this.#look().finally(() => (this.#looking = undefined));
    return this.#looking;
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#looking;
  }

  async #look(): Promise<void> {
    const { cmdb, host, process, clock, logger, onReplaced } = this.#options;
    const incarnation = randomBytes(9).toString('base64url');
    const askedAt = clock.monotonic();
    try {
      const { identity, sessions } = await cmdb.beat({ incarnation, host, process, beats: 0 }, [incarnation]);
      this.#observed = new Map(
        sessions.map((session) => {
          const before = this.#observed.get(session.incarnation);
          const stands = before?.session.beats === session.beats;
          return [session.incarnation, { session, movedAt: stands ? before.movedAt : clock.monotonic() }];
        }),
      );
      if (this.health.answered(identity, askedAt)) onReplaced();
    } catch (error) {
      logger.debug({ err: error }, 'the CMDB cannot be reached');
      this.health.failed(error);
    }
  }
}
