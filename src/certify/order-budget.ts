import { Lru } from '../model/lru.js';

/** What one app may order in an hour, and what all may: authorities allow an account a few hundred orders in three hours. */
const perApp = 20;
const total = 80;
const hourMs = 60 * 60_000;
/** Apps that are told apart. */
const mostApps = 10_000;

interface Bucket {
  left: number;
  at: number;
}

/** Keeps the orders of this process below what authorities allow, and leaves some to others if one app wants many. */
export class OrderBudget {
  readonly #all: Bucket = { left: total, at: 0 };
  readonly #apps = new Lru<string, Bucket>(mostApps);

  /** Whether an order of this app may begin at `now`, on a monotonic clock in milliseconds; then it counts. */
  take(app: string, now: number): boolean {
    const own = this.#apps.get(app) ?? { left: perApp, at: now };
    fill(own, perApp, now);
    fill(this.#all, total, now);
    this.#apps.set(app, own);
    if (own.left < 1 || this.#all.left < 1) return false;
    own.left -= 1;
    this.#all.left -= 1;
    return true;
  }
}

function fill(bucket: Bucket, most: number, now: number): void {
  bucket.left = Math.min(most, bucket.left + ((now - bucket.at) / hourMs) * most);
  bucket.at = now;
}
