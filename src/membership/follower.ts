import type { Logger } from 'pino';
import type { ChangeBatch, Cmdb } from '../cmdb/cmdb.js';
import { type Clock, sleep } from '../model/clock.js';

export interface FollowerOptions {
  readonly cmdb: Cmdb;
  readonly clock: Clock;
  readonly logger: Logger;
  /** If it throws, it is called again with the same changes. */
  readonly onChanges: (batch: ChangeBatch) => Promise<void>;
  /** Called for each attempt that fails: the store that answers next may be another one. */
  readonly onInterrupted: () => void;
}

const retryMs = 500;

/** Follows the CMDB's change log from where it was, through outages. A gap is reported, also as the first batch. */
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
    const { cmdb, clock, logger, onChanges, onInterrupted } = this.#options;
    const { signal } = this.#stop;
    let position: string | undefined;
    while (!signal.aborted) {
      try {
        const batch = await cmdb.changes(position, signal);
        // What was read before the log was followed may have changed since.
        const gap = batch.gap || position === undefined;
        if (gap || batch.changes.length > 0) await onChanges({ ...batch, gap });
        position = batch.position;
      } catch (error) {
        if (signal.aborted) return;
        logger.debug({ err: error }, 'following the change log failed; trying again');
        onInterrupted();
        await sleep(clock, retryMs, signal);
      }
    }
  }
}
