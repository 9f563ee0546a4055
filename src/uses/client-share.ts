/**
 * How many places one client may have while `free` are free. Alone it gets `share` of all, several get less each, and one with few or
 * none always finds room. Infinity for a share of 1.
 * Source: Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet switches" (1998).
 */
export function mostOf(free: number, share: number): number {
  return share >= 1 ? Infinity : (share / (1 - share)) * free;
}
