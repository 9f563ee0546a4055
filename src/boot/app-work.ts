import type { LocalApp } from '../uses/local-app.js';
import type { Clock, Timer } from '../model/clock.js';
import { WaitingRoom } from './waiting-room.js';

/** What is under way on this node for one app whose requests wait, or exceed the target. It keeps the app known while it lasts. */
export class AppWork {
  readonly local: LocalApp;
  readonly room: WaitingRoom;
  readonly #clock: Clock;
  /** Boots from the decision to the end of their clean-up. */
  readonly boots = new Set<Promise<void>>();
  /** Boots that have not written their claim yet. */
  unclaimed = 0;
  /** Boots whose claim is written and whose outcome is open. */
  underWay = 0;
  /** Somebody decides at the moment. */
  isBusy = false;
  looping: Promise<void> | undefined;
  /** No boot is begun while it stands. */
  hold: Timer | undefined;
  #recheck: Timer | undefined;

  constructor(local: LocalApp, clock: Clock) {
    this.local = local;
    this.#clock = clock;
    this.room = new WaitingRoom(local, clock);
    local.holds += 1;
  }

  get isDone(): boolean {
    return this.room.size === 0 && this.boots.size === 0 && !this.isBusy && this.hold === undefined;
  }

  /** Looks again after a while; one look at a time. */
  recheckAfter(delayMs: number, run: () => void): void {
    this.#recheck?.cancel();
    this.#recheck = this.#clock.after(delayMs, run);
  }

  holdFor(delayMs: number, onEnd: () => void): void {
    this.hold?.cancel();
    this.hold = this.#clock.after(delayMs, () => {
      this.hold = undefined;
      onEnd();
    });
  }

  end(): void {
    this.#recheck?.cancel();
    this.local.holds -= 1;
  }
}
