/** A bucket of bytes that fills at a constant rate; spending more than it holds makes a debt. */
export class Rate {
  readonly #bytesPerMs: number;
  readonly #burst: number;
  readonly #now: () => number;
  #bytes: number;
  #at: number;

  /** `burst`: bytes that can be spent at once from a full bucket. `now`: a monotonic clock, in milliseconds. */
  constructor(bytesPerSecond: number, burst: number, now: () => number) {
    this.#bytesPerMs = bytesPerSecond / 1_000;
    this.#burst = burst;
    this.#now = now;
    this.#bytes = burst;
    this.#at = now();
  }

  /** Spends the bytes in any case; gives the milliseconds until the debt is paid. */
  spend(bytes: number): number {
    this.#fill();
    this.#bytes -= bytes;
    return this.#bytes >= 0 ? 0 : -this.#bytes / this.#bytesPerMs;
  }

  /** Spends the bytes only if the bucket holds them, and tells whether it did. */
  take(bytes: number): boolean {
    this.#fill();
    if (this.#bytes < bytes) return false;
    this.#bytes -= bytes;
    return true;
  }

  #fill(): void {
    const now = this.#now();
    this.#bytes = Math.min(this.#burst, this.#bytes + (now - this.#at) * this.#bytesPerMs);
    this.#at = now;
  }
}
