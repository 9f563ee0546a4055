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
  return median(ratios(own, other));
}

/** The interval in which the ratio of `pairedRatio` lies with a confidence of 95 %; of fewer than six rounds all that was seen. */
export function pairedInterval(own: readonly number[], other: readonly number[]): readonly [number, number] {
  const sorted = ratios(own, other).toSorted((a, b) => a - b);
  const outside = belowMedian(sorted.length);
  return [sorted[outside] ?? Number.NaN, sorted[sorted.length - 1 - outside] ?? Number.NaN];
}

function ratios(own: readonly number[], other: readonly number[]): number[] {
  const rounds = Math.min(own.length, other.length);
  return Array.from({ length: rounds }, (_, round) => (own[round] ?? 0) / (other[round] ?? 0));
}

/** How many of `count` values may be left out at each end: each lies below the median with a chance of one half (sign test). */
function belowMedian(count: number): number {
  let chance = 0.5 ** count;
  let outside = 0;
  for (let sum = chance; sum <= 0.025; sum += chance) {
    outside += 1;
    chance *= (count - outside + 1) / outside;
  }
  return Math.max(0, outside - 1);
}

/** How far apart two series of the same thing are, as shares of the first: 0.02 is two per cent. */
export function spread(
  one: readonly number[],
  same: readonly number[],
): { readonly middle: number; readonly worst: number } {
  const apart = one.slice(0, same.length).map((value, round) => Math.abs((same[round] ?? Number.NaN) / value - 1));
  return { middle: median(apart), worst: quantile(apart, 1) };
}
