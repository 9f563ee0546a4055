/**
 * Whether one more request of an app may wait: an app may fill the places that are left only up to their number, so that one
 * alone has at most half of them, and there is always room for those of an app that has few or none. Pure.
 * Source: Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet switches" (1998).
 */
export function mayQueue(waitingForApp: number, waitingInAll: number, max: number): boolean {
  return waitingForApp < max - waitingInAll;
}
