/** The middle value; of an even number of values the mean of the middle two. NaN where there is none. */
export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

/** The value below which the share `q` (0 to 1) of the values lies, interpolated between neighbours. NaN of none. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const at = Math.min(1, Math.max(0, q)) * (sorted.length - 1);
  const below = sorted[Math.floor(at)];
  const above = sorted[Math.ceil(at)];
  if (below === undefined || above === undefined) return Number.NaN;
  return below + (above - below) * (at - Math.floor(at));
}

/**
 * What one subject costs of another's cost: the median of the ratios of each round. The two of a round ran right after
 * each other, so that a machine that slows down or speeds up between rounds does not show in it.
 */
export function pairedRatio(own: readonly number[], other: readonly number[]): number {
  const rounds = Math.min(own.length, other.length);
  return median(Array.from({ length: rounds }, (_, round) => (own[round] ?? 0) / (other[round] ?? 0)));
}

/** How far apart two series of the same thing are, as shares of the first: 0.02 is two per cent. */
export function spread(
  one: readonly number[],
  same: readonly number[],
): { readonly middle: number; readonly worst: number } {
  const apart = one.slice(0, same.length).map((value, round) => Math.abs((same[round] ?? Number.NaN) / value - 1));
  return { middle: median(apart), worst: quantile(apart, 1) };
}
