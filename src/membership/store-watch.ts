import { randomBytes } from 'node:crypto';
import type { Logger } from 'pino';
import type { Cmdb, Session } from '../cmdb/cmdb.js';
import type { Clock, Timer } from '../model/clock.js';

export interface StoreWatchOptions {
  readonly cmdb: Cmdb;
  readonly host: string;
  readonly process: Session['process'];
  readonly clock: Clock;
  readonly logger: Logger;
  /** Between two looks. */
  readonly everyMs: number;
  /** The store is another one than before: it came back empty, or a replica took over. */
  readonly onReplaced: () => void;
}

/**
 * Whether the store answers and whether it is still the same one, for a process that is no node: its session is taken out
 * of the store by the very beat that writes it, so that nobody sees it or counts on it.
 */
export class StoreWatch {
  readonly #options: StoreWatchOptions;
  #identity: string | undefined;
  #hosts: ReadonlySet<string> = new Set();
  #outage: string | undefined = 'not yet reached';
  #timer: Timer | undefined;
  #looking: Promise<void> | undefined;
  #stopped = false;

  constructor(options: StoreWatchOptions) {
    this.#options = options;
  }

  /** As of the last answer. */
  get identity(): string | undefined {
    return this.#identity;
  }

  /** Machines that had a session in the store at the last answer. */
  get hosts(): ReadonlySet<string> {
    return this.#hosts;
  }

  /** Why the store cannot be used at the moment; undefined while it can. */
  get outage(): string | undefined {
    return this.#outage;
  }

  /** Looks once now and goes on in the background. Resolves after the first look, whatever came of it. */
  async start(): Promise<void> {
    await this.look();
    if (!this.#stopped) this.#timer = this.#options.clock.after(this.#options.everyMs, () => void this.start());
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
    const { cmdb, host, process, logger, onReplaced } = this.#options;
    const incarnation = randomBytes(9).toString('base64url');
    try {
      const { identity, sessions } = await cmdb.beat({ incarnation, host, process, beats: 0 }, [incarnation]);
      const replaced = this.#identity !== undefined && this.#identity !== identity;
      this.#outage = undefined;
      this.#identity = identity;
      this.#hosts = new Set(sessions.map((session) => session.host));
      if (replaced) onReplaced();
    } catch (error) {
      logger.debug({ err: error }, 'the CMDB cannot be reached');
      this.#outage = error instanceof Error ? error.message : String(error);
    }
  }
}
