/** A bucket of bytes that fills at a constant rate; what is spent beyond it is owed, and waited for. */
export class Rate {
  readonly #bytesPerMs: number;
  readonly #burst: number;
  readonly #now: () => number;
  #bytes: number;
  #at: number;

  /** `burst`: bytes that can be spent at once after a rest. `now`: milliseconds that never step. */
  constructor(bytesPerSecond: number, burst: number, now: () => number) {
    this.#bytesPerMs = bytesPerSecond / 1_000;
    this.#burst = burst;
    this.#now = now;
    this.#bytes = burst;
    this.#at = now();
  }

  /** Spends them in any case; gives the milliseconds until nothing is owed. */
  spend(bytes: number): number {
    this.#fill();
    this.#bytes -= bytes;
    return this.#bytes >= 0 ? 0 : -this.#bytes / this.#bytesPerMs;
  }

  /** Whether they are there; only then they are spent. */
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
