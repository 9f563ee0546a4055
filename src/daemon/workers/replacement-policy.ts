/** A worker that served for this long before it ended did not fail to start. */
export const steadyMs = 10_000;

const firstPauseMs = 100;
const longestPauseMs = 10_000;
const mostEarlyDeaths = 6;

/** Ends of workers in one place, one after the other, before they had served for `steadyMs`. */
export type EarlyDeaths = number;

/** The count after one more worker ended. `servedMs` is undefined if it never served. */
export function countDeath(before: EarlyDeaths, servedMs: number | undefined): EarlyDeaths {
  return servedMs !== undefined && servedMs >= steadyMs ? 0 : before + 1;
}

/** Pause before the next worker is started in this place: none after a death out of the blue, then longer and longer. */
export function pauseMs(earlyDeaths: EarlyDeaths): number {
  return earlyDeaths <= 1 ? 0 : Math.min(longestPauseMs, firstPauseMs * 2 ** (earlyDeaths - 2));
}

/** Whether the daemon is better off to end, with an error that its own supervisor sees, than to try again. */
export function isHopeless(earlyDeaths: EarlyDeaths, serving: number): boolean {
  return serving === 0 && earlyDeaths >= mostEarlyDeaths;
}
