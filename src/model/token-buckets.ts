import { Lru } from './lru.js';
import type { Rate } from './wake/rate.js';

/**
 * A bucket of tokens for each key: as many as the rate's count at once, and as many per period. Of each only the time is kept at
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
  waitMs(key: string, { count, periodMs }: Rate, now: number): number {
    const fullAt = this.#fullAt.get(key) ?? 0;
    return Math.max(0, fullAt - now - periodMs + periodMs / count);
  }

  /** Takes a token that is there. */
  take(key: string, { count, periodMs }: Rate, now: number): void {
    this.#fullAt.set(key, Math.max(now, this.#fullAt.get(key) ?? 0) + periodMs / count);
  }
}
