/**
 * A bounded map that forgets what was not asked for lately: two generations, the older dropped whole when the younger is
 * full. A hit costs one look-up and no reordering, unlike an LRU list.
 */
export class TwoGenerationCache<V> {
  readonly #perGeneration: number;
  #young = new Map<string, V>();
  #old = new Map<string, V>();

  /** Holds at most `capacity` entries. */
  constructor(capacity: number) {
    this.#perGeneration = Math.max(1, Math.floor(capacity / 2));
  }

  get(key: string): V | undefined {
    const value = this.#young.get(key);
    if (value !== undefined) return value;
    const old = this.#old.get(key);
    if (old !== undefined) this.set(key, old);
    return old;
  }

  set(key: string, value: V): void {
    if (this.#young.size >= this.#perGeneration && !this.#young.has(key)) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(key, value);
  }

  clear(): void {
    this.#young.clear();
    this.#old.clear();
  }

  /** Entries held, those in both generations counted twice. */
  get size(): number {
    return this.#young.size + this.#old.size;
  }
}
