import type { Logger } from 'pino';
import type { ChangeBatch, Cmdb } from '../cmdb/cmdb.js';
import type { Clock } from '../model/clock.js';

export interface FollowerOptions {
  readonly cmdb: Cmdb;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly onChanges: (batch: ChangeBatch) => Promise<void>;
}

const retryMs = 500;

/** Follows the CMDB's change log from where it was, through outages. A gap is reported as a batch with `lost`. */
export class Follower {
  readonly #options: FollowerOptions;
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;

  constructor(options: FollowerOptions) {
    this.#options = options;
  }

  start(): void {
    this.#running ??= this.#follow();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #follow(): Promise<void> {
    const { cmdb, logger, onChanges } = this.#options;
    const { signal } = this.#stop;
    let position: string | undefined;
    while (!signal.aborted) {
      try {
        const batch = await cmdb.changes(position, signal);
        // What was read before the log was followed may have changed since.
        const lost = batch.lost || position === undefined;
        position = batch.position;
        if (lost || batch.changes.length > 0) await onChanges({ ...batch, lost });
      } catch (error) {
        if (signal.aborted) return;
        logger.debug({ err: error }, 'following the change log failed; trying again');
        await this.#pause(signal);
      }
    }
  }

  #pause(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#options.clock.after(retryMs, done);
      signal.addEventListener('abort', done, { once: true });
      function done(): void {
        timer.cancel();
        signal.removeEventListener('abort', done);
        resolve();
      }
    });
  }
}
