import type { AppRecord } from '../cmdb/cmdb.js';
import type { App } from '../model/app.js';
import { type Deployment, findInstance, standing } from '../model/deployment.js';
import { type Maintenance, maintenanceOf } from '../model/maintenance.js';
import { isSuspended } from '../model/instance.js';
import { mostOf } from './client-share.js';
import type { Holder, Seat } from './seat.js';
import type { Use } from './use.js';

/** Why there is no seat: all are taken, or what is free is for other clients than the one that asks. */
export type Refusal = 'full' | 'held_back';

/** What this node knows of an app that it is concerned with: the record as last seen, its own uses, how many requests wait. */
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
  /** Those of them that do not count as activity. */
  waitingUncounted = 0;
  /** Tasks under way on it; it is kept while there are any. */
  holds = 0;
  /** Why a seat was last refused. */
  #refusal: Refusal = 'full';
  readonly #onOverTarget: (local: LocalApp) => void;
  /** How many instances there may be for this node to use; as of the last record. */
  #reachable: number;
  /** What requests get instead of a seat; undefined: nothing. */
  maintenance: Maintenance | undefined;
  /** Seats by client; undefined while no client can have its share. */
  #held: Map<string, number> | undefined;

  /** `onOverTarget`: a request got a seat beyond the target of every instance in use, and there may be others. */
  constructor(record: AppRecord, onOverTarget: (local: LocalApp) => void = () => {}) {
    this.name = record.app.name;
    this.#record = record;
    this.#onOverTarget = onOverTarget;
    this.#reachable = reachable(record);
    this.maintenance = maintenanceOf(record.app, record.deployment);
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
    this.maintenance = maintenanceOf(record.app, record.deployment);
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

  /** Its seats no longer count as their clients'. */
  removeUse(use: Use): void {
    this.uses.delete(use.instanceId);
    this.#held = undefined;
  }

  /** Whether a seat is free that no waiting request may have: their clients have their share. */
  get heldBack(): boolean {
    return this.#refusal === 'held_back';
  }

  /** A seat for a request that just came; undefined if there is none, others wait for it that may have it, or for maintenance. */
  takeSeat(holder?: Holder): Seat | undefined {
    if (this.maintenance !== undefined || (this.waiting > 0 && !this.heldBack)) return undefined;
    const use = this.#choose(holder);
    if (typeof use === 'string') return undefined;
    const seat = use.take(holder);
    if (use.inflight > use.target && this.uses.size < this.#reachable) this.#onOverTarget(this);
    return seat;
  }

  /** A seat for one of the requests that wait. */
  seatForNext(holder?: Holder): Seat | Refusal {
    const use = this.#choose(holder);
    return typeof use === 'string' ? use : use.take(holder);
  }

  /** A seat was taken. */
  took(holder: Holder | undefined): void {
    if (this.#held !== undefined) count(this.#held, holder, 1);
  }

  /** A seat came free. */
  left(use: Use, holder: Holder | undefined): void {
    if (this.#held !== undefined && use.isCurrent) count(this.#held, holder, -1);
  }

  /**
   * Whether the client of a request may have one more seat: none has them all, unless there is only one, or there may be more. Seats
   * are counted by client only while few are free.
   */
  #mayHave(holder: Holder | undefined): boolean {
    let taken = 0;
    let free = 0;
    let all = 0;
    for (const use of this.uses.values()) {
      taken += use.inflight;
      if (use.closed) continue;
      all += use.max;
      free += Math.max(0, use.max - use.inflight);
    }
    const most = mostOf(free, this.app.concurrency.clientShare);
    if (taken === 0 || (taken < most && (taken + 1 < all || most === Infinity))) {
      if (taken < most / 2) this.#held = undefined;
      return true;
    }
    const client = holder?.client;
    if (client === undefined) return true;
    const mine = (this.#held ??= this.#count()).get(client) ?? 0;
    return mine === 0 || (mine < most && (mine + 1 < all || this.uses.size < this.#reachable));
  }

  #count(): Map<string, number> {
    const held = new Map<string, number>();
    for (const use of this.uses.values()) for (const holder of use.holders()) count(held, holder, 1);
    return held;
  }

  #choose(holder: Holder | undefined): Use | Refusal {
    const use = this.#preferred(holder) ?? this.#leastSurplus();
    if (use !== undefined && this.#mayHave(holder)) return use;
    this.#refusal = use === undefined ? 'full' : 'held_back';
    return this.#refusal;
  }

  /** The instance that a request belongs to, while it has a free seat. */
  #preferred(holder: Holder | undefined): Use | undefined {
    const id = holder?.prefers;
    const use = id === undefined ? undefined : this.uses.get(id);
    return use && (!use.closed || use.isDraining) && use.inflight < use.max ? use : undefined;
  }

  /**
   * The oldest instance below its target, so that surplus ones fall idle and end; if all have their target, the least
   * loaded one below its max.
   */
  #leastSurplus(): Use | undefined {
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

  /** Whether nothing on this node needs it. */
  get isIdle(): boolean {
    return this.uses.size === 0 && this.waiting === 0 && this.holds === 0;
  }
}

function count(held: Map<string, number>, holder: Holder | undefined, change: 1 | -1): void {
  const client = holder?.client;
  if (client === undefined) return;
  const now = (held.get(client) ?? 0) + change;
  if (now > 0) held.set(client, now);
  else held.delete(client);
}

/** The number of ready and suspended instances; Infinity if the app may have one more. */
function reachable({ app, deployment }: AppRecord): number {
  if (standing(deployment).length < app.scale.max) return Infinity;
  return deployment.instances.filter((instance) => instance.state === 'ready' || isSuspended(instance)).length;
}
