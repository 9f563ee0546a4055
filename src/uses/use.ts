import type { App } from '../model/app.js';
import type { Clock, Timer } from '../model/clock.js';
import type { Address, Location } from '../model/instance.js';
import type { LocalApp } from './local-app.js';
import type { CutReason, Holder, Occupant, Seat } from './seat.js';

/** What a Use tells the room that keeps it. */
export interface UseOwner {
  /** A seat came free. */
  seatFreed(use: Use): void;
  /** Data flows again on an instance that was reported as quiet. */
  wokeUp(use: Use): void;
}

/** What is known of an instance that is used. */
export interface UsedInstance extends Location {
  readonly id: string;
  readonly address: Address;
}

/**
 * This node's registered use of one ready instance: as long as it stands, requests to the instance need no CMDB
 * round trip. Counts what is in flight and knows when something last happened (epoch milliseconds).
 */
export class Use {
  readonly local: LocalApp;
  readonly instanceId: string;
  readonly address: Address;
  readonly location: Location;
  /** This node's share of the app's concurrency; see fair-share.ts. */
  target: number;
  max: number;
  readonly #owner: UseOwner;
  readonly #clock: Clock;
  readonly #seats = new Set<UseSeat>();
  /** Seats that do not count by themselves: of upgraded connections, which count while data flows, and of requests that never count. */
  #uncounted = 0;
  /** When a request came that does not count as activity; epoch milliseconds. */
  lastUncountedAt = -Infinity;
  /** No new seats: the instance drains, or the use is being released or registered anew. */
  closed = false;
  /** Closed because its instance drains: requests that belong to it may still come. */
  isDraining = false;
  /** Reported to the CMDB as held by silent connections only. */
  quiet = false;
  /** In the future while its app has said that it works on. */
  lastActiveAt: number;
  watchedLimitMs = 0;
  #idleTimer: Timer | undefined;
  #onEmpty: (() => void) | undefined;

  constructor(local: LocalApp, instance: UsedInstance, owner: UseOwner, clock: Clock) {
    this.local = local;
    this.instanceId = instance.id;
    this.address = instance.address;
    this.location = instance;
    this.target = local.app.concurrency.target;
    this.max = local.app.concurrency.max;
    this.#owner = owner;
    this.#clock = clock;
    this.lastActiveAt = clock.now();
  }

  /** Requests and connections under way. */
  get inflight(): number {
    return this.#seats.size;
  }

  /** False once it has ended or was released, also if there is another use of the same instance by now. */
  get isCurrent(): boolean {
    return this.local.uses.get(this.instanceId) === this;
  }

  /** Requests under way that are activity by themselves. */
  get counting(): number {
    return this.#seats.size - this.#uncounted;
  }

  /** Whether none of its seats is activity by itself. */
  get onlyUncounted(): boolean {
    return this.counting === 0;
  }

  /** Takes one more seat; the caller has checked `closed` and `max`. */
  take(holder?: Holder): Seat {
    const counts = holder?.verdict?.counts !== false;
    const seat = new UseSeat(this, holder, counts);
    this.#seats.add(seat);
    this.local.took(holder);
    if (counts) {
      this.active();
    } else {
      this.#uncounted += 1;
      this.lastUncountedAt = this.#clock.now();
    }
    return seat;
  }

  /** The holders of its seats, as far as they are known. */
  *holders(): Generator<Holder> {
    for (const { holder } of this.#seats) if (holder) yield holder;
  }

  /** Notes activity now; returns the time. */
  active(): number {
    const now = this.#clock.now();
    this.#activeUntil(now);
    return now;
  }

  /** Counts as active for this many milliseconds. */
  busyFor(ms: number): void {
    this.#activeUntil(this.#clock.now() + ms);
  }

  #activeUntil(at: number): void {
    if (at > this.lastActiveAt) this.lastActiveAt = at;
    if (this.quiet) {
      this.quiet = false;
      this.#owner.wokeUp(this);
    }
  }

  leave(seat: UseSeat, counts: boolean): void {
    this.#seats.delete(seat);
    this.local.left(this, seat.holder);
    if (counts) this.active();
    else this.#uncounted -= 1;
    if (this.#seats.size === 0) this.#onEmpty?.();
    this.#owner.seatFreed(this);
  }

  onlyTrafficFrom(): void {
    this.#uncounted += 1;
  }

  now(): number {
    return this.#clock.now();
  }

  /** Breaks off what is under way: all of it, or only the silent connections. */
  cut(reason: CutReason, which: 'all' | 'silent' = 'all'): void {
    for (const seat of this.#seats) {
      if (which === 'all' || seat.isSilent) seat.occupant?.cut(reason);
    }
  }

  /** The timer that looks for idleness, and the limit it was armed with. */
  watch(limitMs: number, timer: Timer): void {
    this.#idleTimer?.cancel();
    this.#idleTimer = timer;
    this.watchedLimitMs = limitMs;
  }

  unwatch(): void {
    this.#idleTimer?.cancel();
  }

  /** Resolves when nothing is under way. One caller at a time. */
  empty(): Promise<void> {
    if (this.#seats.size === 0) return Promise.resolve();
    return new Promise((resolve) => {
      this.#onEmpty = resolve;
    });
  }
}

class UseSeat implements Seat {
  readonly #use: Use;
  readonly holder: Holder | undefined;
  occupant: Occupant | undefined = undefined;
  /** Whether its request is activity, and what flows on its connection. */
  readonly #counts: boolean;
  #held = true;
  #isConnection = false;
  #touchedAt = 0;

  constructor(use: Use, holder: Holder | undefined, counts: boolean) {
    this.#use = use;
    this.holder = holder;
    this.#counts = counts;
  }

  get app(): App {
    return this.#use.local.app;
  }

  get instanceId(): string {
    return this.#use.instanceId;
  }

  get address(): Address {
    return this.#use.address;
  }

  get location(): Location {
    return this.#use.location;
  }

  /** An upgraded connection on which nothing flowed for the app's idle TTL. */
  get isSilent(): boolean {
    return this.#isConnection && this.#use.now() - this.#touchedAt >= this.app.idleTtlMs;
  }

  countOnlyTraffic(): void {
    if (this.#isConnection || !this.#held) return;
    this.#isConnection = true;
    if (this.#counts) this.#use.onlyTrafficFrom();
    this.touch();
  }

  touch(): void {
    this.#touchedAt = this.#counts ? this.#use.active() : this.#use.now();
  }

  busyFor(ms: number): void {
    this.#use.busyFor(ms);
  }

  release(): void {
    if (!this.#held) return;
    this.#held = false;
    this.#use.leave(this, this.#counts && !this.#isConnection);
  }
}
