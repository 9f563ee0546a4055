import { percentile } from './tally.js';

/** One row of the run's table: what must not grow with time. */
export interface Row {
  readonly atS: number;
  readonly rssMiB: number;
  readonly fds: number;
  readonly warmP99: number;
  readonly loopMs: number;
}

export interface Comparison {
  readonly what: string;
  /** Medians of the first and of the last third. */
  readonly first: number;
  readonly last: number;
  readonly limit: number;
  readonly isFlat: boolean;
}

/** How much more the last third may show than the first, of what a run shows: `share` of it plus `slack`. */
const tolerance = {
  rssMiB: { share: 0.15, slack: 16 },
  fds: { share: 0.2, slack: 24 },
  warmP99: { share: 1, slack: 50 },
  loopMs: { share: 1, slack: 50 },
} as const;

/** Compares the first and the last third of a run after its warm-up. Empty where there are fewer than six rows. */
export function compareThirds(rows: readonly Row[]): Comparison[] {
  const third = Math.floor(rows.length / 3);
  if (third < 2) return [];
  return (Object.keys(tolerance) as (keyof typeof tolerance)[]).map((what) => {
    const median = (part: readonly Row[]) =>
      percentile(
        part.map((row) => row[what]).filter((value) => !Number.isNaN(value)),
        0.5,
      );
    const first = median(rows.slice(0, third));
    const last = median(rows.slice(-third));
    const { share, slack } = tolerance[what];
    const limit = first * (1 + share) + slack;
    return { what, first, last, limit, isFlat: last <= limit };
  });
}

/** MiB per hour by which the resident memory grew: the slope of the least squares. */
export function rssSlope(rows: readonly Row[]): number {
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const meanAt = mean(rows.map(({ atS }) => atS));
  const meanRss = mean(rows.map(({ rssMiB }) => rssMiB));
  const covariance = rows.reduce((sum, { atS, rssMiB }) => sum + (atS - meanAt) * (rssMiB - meanRss), 0);
  const variance = rows.reduce((sum, { atS }) => sum + (atS - meanAt) ** 2, 0);
  return (covariance / variance) * 3_600;
}
