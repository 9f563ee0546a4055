import type { AppRecord } from '../cmdb/cmdb.js';
import type { App } from '../model/app.js';
import { type Deployment, findInstance, standing } from '../model/deployment.js';
import type { Seat } from './seat.js';
import type { Use } from './use.js';

/** What this node knows of an app it is concerned with: the record as last seen, its own uses, who waits. */
export class LocalApp {
  readonly name: string;
  #record: AppRecord;
  /** Counts the records seen, so that an older answer of the store never replaces a newer one. */
  epoch = 0;
  /** By instance id, the oldest instance first. */
  readonly uses = new Map<string, Use>();
  /** The domain that a request last asked for when it had to wait; undefined while none has. */
  askedFor: string | undefined;
  /** Requests in the waiting room; newcomers queue behind them. */
  waiting = 0;
  /** Rooms that work on it; it is not forgotten while there are any. */
  pins = 0;
  readonly #onOverTarget: (local: LocalApp) => void;
  /** How many instances there may be for this node to use; as of the last record. */
  #reachable: number;

  /** `onOverTarget`: a request got a place although every instance in use has its target, and there may be others. */
  constructor(record: AppRecord, onOverTarget: (local: LocalApp) => void = () => {}) {
    this.name = record.app.name;
    this.#record = record;
    this.#onOverTarget = onOverTarget;
    this.#reachable = reachable(record);
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
    this.#reachable = reachable(record);
    this.epoch += 1;
  }

  /** Adds a use in the order of the instances' age, which is the same on every node. */
  addUse(use: Use): void {
    this.uses.set(use.instanceId, use);
    const readyAt = (id: string) => findInstance(this.deployment, id)?.readyAt ?? Infinity;
    const sorted = [...this.uses].toSorted(([a], [b]) => readyAt(a) - readyAt(b) || (a < b ? -1 : 1));
    this.uses.clear();
    for (const [id, other] of sorted) this.uses.set(id, other);
  }

  /** A place for a request that just came; undefined where others wait already or all are full. */
  takeSeat(): Seat | undefined {
    const use = this.waiting > 0 ? undefined : this.#choose();
    const seat = use?.take();
    if (use && use.inflight > use.target && this.uses.size < this.#reachable) this.#onOverTarget(this);
    return seat;
  }

  /** A place for the request at the head of the queue. */
  seatForNext(): Seat | undefined {
    return this.#choose()?.take();
  }

  /**
   * The oldest instance below its target, so that surplus ones fall idle and end; where all have their target, the least
   * loaded one below its max.
   */
  #choose(): Use | undefined {
    let least: Use | undefined;
    for (const use of this.uses.values()) {
      if (use.closed) continue;
      if (use.inflight < use.target) return use;
      if (use.inflight < use.max && (least === undefined || use.inflight < least.inflight)) least = use;
    }
    return least;
  }

  /** The youngest ready instance that this node does not use. */
  get unusedInstance(): string | undefined {
    return this.deployment.instances
      .filter(({ id, state }) => state === 'ready' && !this.uses.has(id))
      .toSorted((a, b) => (b.readyAt ?? 0) - (a.readyAt ?? 0))[0]?.id;
  }

  /** Whether nothing on this node needs it any more. */
  get isIdle(): boolean {
    return this.uses.size === 0 && this.waiting === 0 && this.pins === 0;
  }
}

/** Those that are ready; without end where the app may have one more. */
function reachable({ app, deployment }: AppRecord): number {
  if (standing(deployment).length < app.scale.max) return Infinity;
  return deployment.instances.filter(({ state }) => state === 'ready').length;
}
