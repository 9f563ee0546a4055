import type { Clock } from '../../src/model/clock.js';
import type { Event, Fate, Timeline } from './timeline.js';

/** One life of a dispatcher process, with clocks of its own. It can be frozen, thawed and killed. */
export class SimProcess implements Fate {
  readonly pid: number;
  readonly held: Event[] = [];
  readonly clock: Clock;
  readonly #timeline: Timeline;
  state: Fate['state'] = 'running';
  /** What this machine's wall clock is wrong by. */
  wallErrorMs: number;

  constructor(timeline: Timeline, pid: number, wallErrorMs: number) {
    this.#timeline = timeline;
    this.pid = pid;
    this.wallErrorMs = wallErrorMs;
    // Each process counts from another start.
    const start = pid * 1_000;
    this.clock = {
      now: () => epoch + timeline.now + this.wallErrorMs,
      monotonic: () => start + timeline.now,
      after: (delayMs, run) => {
        const event = timeline.after(Math.max(1, delayMs), this, run);
        return { cancel: () => void (event.cancelled = true) };
      },
    };
  }

  freeze(): void {
    if (this.state === 'running') this.state = 'frozen';
  }

  thaw(): void {
    if (this.state !== 'frozen') return;
    this.state = 'running';
    this.#timeline.release(this.held);
  }

  /** What it would have done does not happen; what it has sent is on its way. */
  kill(): void {
    this.state = 'dead';
    this.held.length = 0;
  }
}

/** The simulation's beginning on a right wall clock. */
export const epoch = 1_700_000_000_000;
