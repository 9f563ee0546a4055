import { Lru } from './lru.js';
import type { Rate } from './wake/rate.js';

/**
 * A bucket of tokens for each key and rate: as many as the rate's count at once, and as many per period. Of each only the time is kept at
 * which it will be full again; a full one needs no entry. Beyond `most` entries the one used longest ago counts as full.
 */
export class TokenBuckets {
  readonly #fullAt: Lru<string, number>;

  constructor(most: number) {
    this.#fullAt = new Lru(most);
  }

  get size(): number {
    return this.#fullAt.size;
  }

  /** Milliseconds until there is a token; 0 if there is one. Takes none. Times are monotonic milliseconds. */
  waitMs(key: string, rate: Rate, now: number): number {
    const { count, periodMs } = rate;
    const fullAt = this.#fullAt.get(keyOf(key, rate)) ?? 0;
    return Math.max(0, fullAt - now - periodMs + periodMs / count);
  }

  /** Takes a token that is there. */
  take(key: string, rate: Rate, now: number): void {
    const bucket = keyOf(key, rate);
    this.#fullAt.set(bucket, Math.max(now, this.#fullAt.get(bucket) ?? 0) + rate.periodMs / rate.count);
  }
}

/** What was taken at another rate is in other tokens. */
function keyOf(key: string, { count, periodMs }: Rate): string {
  return `${key} ${count}/${periodMs}`;
}
