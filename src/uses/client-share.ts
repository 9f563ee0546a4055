/**
 * How many of an app's places one client may have: as long as it has fewer than this many times what is free. Alone it gets `share`
 * of them, several get less each, and there is always room for one that has few or none. Infinity for a share of 1. Pure.
 * Source: Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet switches" (1998).
 */
export function mostOf(free: number, share: number): number {
  return share >= 1 ? Infinity : (share / (1 - share)) * free;
}
