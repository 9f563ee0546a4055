/** Estimated bytes of an entry beside the characters of its key. */
const entryBytes = 100;

/**
 * A map bounded in bytes that forgets what was not asked for lately: two generations, the older dropped whole when the younger
 * is full. A hit costs one look-up and no reordering, unlike an LRU list.
 */
export class TwoGenerationCache<V> {
  readonly #perGeneration: number;
  #young = new Map<string, V>();
  #old = new Map<string, V>();
  #youngBytes = 0;
  #oldBytes = 0;

  /** `maxBytes`: upper bound for the keys, counted as Latin-1; values are not counted. */
  constructor(maxBytes: number) {
    this.#perGeneration = Math.floor(maxBytes / 2);
  }

  get(key: string): V | undefined {
    const value = this.#young.get(key);
    if (value !== undefined) return value;
    const old = this.#old.get(key);
    if (old !== undefined) this.set(key, old);
    return old;
  }

  set(key: string, value: V): void {
    if (!this.#young.has(key)) this.#makeRoom(key.length + entryBytes);
    this.#young.set(key, value);
  }

  clear(): void {
    this.#young.clear();
    this.#old.clear();
    this.#youngBytes = this.#oldBytes = 0;
  }

  /** Bytes held, those of keys in both generations counted twice. */
  get bytes(): number {
    return this.#youngBytes + this.#oldBytes;
  }

  #makeRoom(bytes: number): void {
    if (this.#youngBytes + bytes > this.#perGeneration) {
      this.#old = this.#young;
      this.#oldBytes = this.#youngBytes;
      this.#young = new Map();
      this.#youngBytes = 0;
    }
    this.#youngBytes += bytes;
  }
}
