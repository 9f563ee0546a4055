import type { LocalApp } from '../uses/local-app.js';
import type { Seat } from '../uses/seat.js';
import type { Clock, Timer } from '../model/clock.js';
import { RequestError } from '../model/errors.js';

interface Waiter {
  readonly resolve: (seat: Seat) => void;
  readonly reject: (error: RequestError) => void;
  readonly timer: Timer;
  readonly onAbort: () => void;
}

/** The requests of one app that wait for a boot or a free place: first come, first served, bounded, and cancellable. */
export class WaitingRoom {
  readonly local: LocalApp;
  readonly #clock: Clock;
  readonly #waiters = new Set<Waiter>();

  constructor(local: LocalApp, clock: Clock) {
    this.local = local;
    this.#clock = clock;
  }

  get size(): number {
    return this.#waiters.size;
  }

  /**
   * Waits for a seat. Rejects with `queue_full` at once, `queue_timeout` after the app's queue timeout, the boot's error
   * when it fails, or the signal's reason when the client has gone; in each case nothing is left behind.
   */
  wait(signal: AbortSignal): Promise<Seat> {
    const { app } = this.local;
    if (signal.aborted) return Promise.reject(signal.reason as Error);
    if (this.#waiters.size >= app.queue.max) {
      return Promise.reject(new RequestError('queue_full', `${app.queue.max} requests wait for the app already.`));
    }
    return new Promise((resolve, reject) => {
      const leave = (reason: Error) => {
        this.#remove(waiter, signal);
        reject(reason);
      };
      const waiter: Waiter = {
        resolve: (seat) => {
          this.#remove(waiter, signal);
          resolve(seat);
        },
        reject: leave,
        timer: this.#clock.after(app.queue.timeoutMs, () => leave(new RequestError('queue_timeout'))),
        onAbort: () => leave(signal.reason as Error),
      };
      signal.addEventListener('abort', waiter.onAbort, { once: true });
      this.#waiters.add(waiter);
      this.local.waiting += 1;
    });
  }

  /** Hands free seats to whoever waits longest. */
  serve(): void {
    for (const waiter of this.#waiters) {
      const seat = this.local.seatForNext();
      if (!seat) return;
      waiter.resolve(seat);
    }
  }

  /** Sends everyone away with the same error. */
  dismiss(error: RequestError): void {
    for (const waiter of this.#waiters) waiter.reject(error);
  }

  #remove(waiter: Waiter, signal: AbortSignal): void {
    if (!this.#waiters.delete(waiter)) return;
    this.local.waiting -= 1;
    waiter.timer.cancel();
    signal.removeEventListener('abort', waiter.onAbort);
  }
}
