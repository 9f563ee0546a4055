import type { Outcome } from '../load/load.js';

/** What the clients saw in one interval. Latencies in milliseconds until the first byte. */
export interface Interval {
  readonly exchanges: number;
  readonly warmP50: number;
  readonly warmP99: number;
  readonly coldP50: number;
  readonly coldP99: number;
}

/** Counts what the clients saw: in all by kind, and anew in each interval. */
export class Tally {
  readonly counts = new Map<string, number>();
  /** By kind and message, how often. */
  readonly failures = new Map<string, number>();
  #warm: number[] = [];
  #cold: number[] = [];
  #exchanges = 0;

  add({ kind, cold, ms }: Outcome): void {
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1);
    this.#exchanges += 1;
    (cold ? this.#cold : this.#warm).push(ms);
  }

  fail(kind: string, error: unknown): void {
    const message = `${kind}: ${error instanceof Error ? error.message || String(error) : String(error)}`;
    this.failures.set(message, (this.failures.get(message) ?? 0) + 1);
  }

  /** Closes the interval and begins the next one. */
  interval(): Interval {
    const closed = {
      exchanges: this.#exchanges,
      warmP50: percentile(this.#warm, 0.5),
      warmP99: percentile(this.#warm, 0.99),
      coldP50: percentile(this.#cold, 0.5),
      coldP99: percentile(this.#cold, 0.99),
    };
    this.#warm = [];
    this.#cold = [];
    this.#exchanges = 0;
    return closed;
  }
}

/** NaN where there are no values. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}
