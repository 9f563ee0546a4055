import type { AppRecord } from '../cmdb/cmdb.js';
import type { App } from '../model/app.js';
import type { Deployment } from '../model/deployment.js';
import type { Seat } from './seat.js';
import type { Use } from './use.js';

/** What this node knows of an app it is concerned with: the record as last seen, its own uses, who waits. */
export class LocalApp {
  readonly name: string;
  #record: AppRecord;
  /** Counts the records seen, so that an older answer of the store never replaces a newer one. */
  epoch = 0;
  /** By instance id. */
  readonly uses = new Map<string, Use>();
  /** Requests in the waiting room; newcomers queue behind them. */
  waiting = 0;
  /** Rooms that work on it; it is not forgotten while there are any. */
  pins = 0;

  constructor(record: AppRecord) {
    this.name = record.app.name;
    this.#record = record;
  }

  get app(): App {
    return this.#record.app;
  }

  get removed(): boolean {
    return this.#record.removed;
  }

  get deployment(): Deployment {
    return this.#record.deployment;
  }

  get version(): string {
    return this.#record.version;
  }

  see(record: AppRecord): void {
    this.#record = record;
    this.epoch += 1;
  }

  /** A place at the least loaded instance; undefined where others wait already or all are full. */
  takeSeat(): Seat | undefined {
    return this.waiting > 0 ? undefined : this.seatForNext();
  }

  /** A place for the request at the head of the queue. */
  seatForNext(): Seat | undefined {
    let best: Use | undefined;
    for (const use of this.uses.values()) {
      if (!use.closed && (best === undefined || use.inflight < best.inflight)) best = use;
    }
    if (best === undefined || best.inflight >= this.app.concurrency.max) return undefined;
    return best.take();
  }

  /** Whether nothing on this node needs it any more. */
  get isIdle(): boolean {
    return this.uses.size === 0 && this.waiting === 0 && this.pins === 0;
  }
}
