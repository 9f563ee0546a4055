import { performance } from 'node:perf_hooks';
import type { Clock } from '../model/clock.js';

/** The machine's clocks. Timers do not keep the process alive. */
export const systemClock: Clock = {
  now: () => Date.now(),
  monotonic: () => performance.now(),
  after(delayMs, run) {
    // Beyond 2^31-1 ms setTimeout fires at once.
    const timer = setTimeout(run, Math.min(delayMs, 2_147_483_647)).unref();
    return { cancel: () => clearTimeout(timer) };
  },
};
