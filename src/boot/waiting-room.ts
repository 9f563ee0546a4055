import type { LocalApp } from '../uses/local-app.js';
import type { Holder, Seat } from '../uses/seat.js';
import type { Clock, Timer } from '../model/clock.js';
import { RequestError } from '../model/errors.js';
import { wakeDenied } from '../model/wake/verdict.js';
import { maintenanceError } from '../model/maintenance.js';

interface Waiter {
  readonly holder: Holder | undefined;
  readonly resolve: (seat: Seat) => void;
  readonly reject: (error: RequestError) => void;
  readonly timer: Timer;
  readonly onAbort: () => void;
}

/** Requests of one client, in the order in which they came. */
type Line = Set<Waiter>;

/**
 * The requests of one app that wait for a boot or a free seat: bounded, and cancellable. Clients take turns, each with its oldest
 * request; a client that has its share of the seats is passed over.
 */
export class WaitingRoom {
  readonly local: LocalApp;
  readonly #clock: Clock;
  /** By client, in the order of their turns; a request of an unknown client is a line of its own. */
  readonly #lines = new Map<unknown, Line>();
  #size = 0;

  constructor(local: LocalApp, clock: Clock) {
    this.local = local;
    this.#clock = clock;
  }

  get size(): number {
    return this.#size;
  }

  /**
   * Waits for a seat, or for the end of maintenance. Rejects with `queue_full` at once, `queue_timeout` or `maintenance` in time, the boot's error
   * when it fails, or the signal's reason when the client has gone; in each case nothing is left behind.
   */
  wait(signal: AbortSignal, holder?: Holder): Promise<Seat> {
    const { app, maintenance } = this.local;
    if (signal.aborted) return Promise.reject(signal.reason as Error);
    if (this.#size >= app.queue.max && !this.makeRoomFor(holder)) return Promise.reject(full(app.queue.max));
    return new Promise((resolve, reject) => {
      const leave = (reason: Error) => {
        this.#remove(waiter, signal);
        reject(reason);
      };
      const waiter: Waiter = {
        holder,
        resolve: (seat) => {
          this.#remove(waiter, signal);
          resolve(seat);
        },
        reject: leave,
        timer: this.#clock.after(maintenance?.limitMs ?? app.queue.timeoutMs, () => leave(this.#overdue())),
        onAbort: () => leave(signal.reason as Error),
      };
      signal.addEventListener('abort', waiter.onAbort, { once: true });
      this.#add(waiter);
    });
  }

  /** A request that has waited for long, of those that may wake the app; undefined if there is none. */
  get first(): Holder | undefined {
    for (const line of this.#lines.values())
      for (const { holder } of line) if (holder && holder.verdict?.wakes !== false) return holder;
    return undefined;
  }

  /** Refuses the last request of the client with most here, if that has at least two more than the newcomer's. */
  makeRoomFor(holder: Holder | undefined): boolean {
    const mine = this.#lines.get(holder?.client)?.size ?? 0;
    let longest: Line | undefined;
    for (const line of this.#lines.values()) if (line.size > (longest?.size ?? mine + 1)) longest = line;
    let last: Waiter | undefined;
    for (const waiter of longest ?? []) last = waiter;
    last?.reject(full(this.#size));
    return last !== undefined;
  }

  /** Gives free seats to requests that wait, client by client. */
  serve(): void {
    if (this.local.maintenance) return;
    for (const [key, line] of this.#lines) {
      const first = line.values().next().value as Waiter;
      const seat = this.local.seatForNext(first.holder);
      if (seat === 'held_back') continue;
      if (seat === 'full') return;
      first.resolve(seat);
      // Its next turn comes when all others have had theirs, also in this round.
      if (this.#lines.delete(key)) this.#lines.set(key, line);
    }
  }

  /** Answers all requests with the same error. */
  dismiss(error: RequestError): void {
    for (const line of this.#lines.values()) for (const waiter of line) waiter.reject(error);
  }

  /** Refuses the requests that may not wake the app: what they came to has fallen asleep. Whether there were any. */
  refuseUnwelcome(): boolean {
    const before = this.#size;
    for (const line of this.#lines.values()) {
      for (const waiter of line) {
        const verdict = waiter.holder?.verdict;
        if (verdict && !verdict.wakes) waiter.reject(wakeDenied(verdict));
      }
    }
    return this.#size < before;
  }

  #count({ holder }: Waiter, change: 1 | -1): void {
    this.#size += change;
    this.local.waiting += change;
    if (holder?.verdict?.counts === false) this.local.waitingUncounted += change;
  }

  #overdue(): RequestError {
    const { maintenance } = this.local;
    return maintenance ? maintenanceError(maintenance) : new RequestError('queue_timeout');
  }

  #add(waiter: Waiter): void {
    const key = keyOf(waiter);
    const line = this.#lines.get(key);
    if (line) line.add(waiter);
    else this.#lines.set(key, new Set([waiter]));
    this.#count(waiter, 1);
  }

  #remove(waiter: Waiter, signal: AbortSignal): void {
    const key = keyOf(waiter);
    const line = this.#lines.get(key);
    if (!line?.delete(waiter)) return;
    if (line.size === 0) this.#lines.delete(key);
    this.#count(waiter, -1);
    waiter.timer.cancel();
    signal.removeEventListener('abort', waiter.onAbort);
  }
}

function keyOf(waiter: Waiter): unknown {
  return waiter.holder?.client ?? waiter;
}

function full(waiting: number): RequestError {
  return new RequestError('queue_full', `${waiting} requests wait for the app already.`);
}
