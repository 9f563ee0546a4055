/**
 * How many of some places one of those who want them may have, of which so many are free now. Alone it gets `share` of them all,
 * several get less each, and there is always room for one that has few or none. Infinity for a share of 1. Pure.
 * Source: Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet switches" (1998).
 */
export function mostOf(free: number, share: number): number {
  return share >= 1 ? Infinity : (share / (1 - share)) * free;
}
