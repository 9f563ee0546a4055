import { type Clock, sleep } from '../model/clock.js';

const notYetReached = 'not yet reached';

/** What a process knows of the store: whether it answers, which one it is, and for how long it has been the same without a gap. */
export class StoreHealth {
  readonly #ttlMs: number;
  readonly #clock: Clock;
  #identity: string | undefined;
  #outage: string | undefined = notYetReached;
  #answeredAt = -Infinity;
  #steadySince: number | undefined;
  #knownSince = Infinity;
  #replacedAt = -Infinity;

  /** `ttlMs`: how long a session lives without a beat. */
  constructor(ttlMs: number, clock: Clock) {
    this.#ttlMs = ttlMs;
    this.#clock = clock;
  }

  /** As of the last answer. */
  get identity(): string | undefined {
    return this.#identity;
  }

  /** Why the store cannot be used at the moment; undefined while it can. */
  get outage(): string | undefined {
    return this.#outage;
  }

  /** When the store last answered, in monotonic milliseconds; -Infinity: never. */
  get answeredAt(): number {
    return this.#answeredAt;
  }

  /** Whether the same store has answered for one TTL without a gap, so that a counter that stands still means something. */
  get isSteady(): boolean {
    return this.#steadySince !== undefined && this.#clock.monotonic() - this.#steadySince >= this.#ttlMs;
  }

  /** False for one TTL after the store was replaced: what it lacks may still be written, and is neither a 404 nor an orphan. */
  get isComplete(): boolean {
    return this.#clock.monotonic() - this.#replacedAt >= this.#ttlMs;
  }

  /** Whether this process has known this store for one TTL: by then all others have, too. */
  get isFamiliar(): boolean {
    return this.#clock.monotonic() - this.#knownSince >= this.#ttlMs;
  }

  /** Resolves when the store is complete. Nothing boots before, as an instance may run that is not written yet. */
  async complete(): Promise<void> {
    while (!this.isComplete) {
      const leftMs = this.#replacedAt + this.#ttlMs - this.#clock.monotonic();
      await sleep(this.#clock, leftMs);
    }
  }

  /** It answered what it was asked at `askedAt` (monotonic milliseconds). True if it is another store than before. */
  answered(identity: string, askedAt: number): boolean {
    const now = this.#clock.monotonic();
    const isReplaced = this.#identity !== undefined && this.#identity !== identity;
    // An answer that took longer than a session lives is a gap all the same.
    if (isReplaced || now - askedAt > this.#ttlMs) this.#steadySince = undefined;
    if (isReplaced) this.#replacedAt = now;
    if (this.#identity !== identity) this.#knownSince = now;
    this.#identity = identity;
    this.#outage = undefined;
    this.#answeredAt = now;
    this.#steadySince ??= now;
    return isReplaced;
  }

  /** It did not answer. True for the first failure in a row. */
  failed(error: unknown): boolean {
    const isFirst = this.#outage === undefined || this.#outage === notYetReached;
    this.#steadySince = undefined;
    this.#outage = error instanceof Error ? error.message : String(error);
    return isFirst;
  }
}
