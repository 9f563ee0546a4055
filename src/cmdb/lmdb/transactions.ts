import type { RootDatabase } from 'lmdb';
import { RequestError } from '../../model/errors.js';

/** Reads and writes of one store, with a time limit and one kind of error. */
export class Transactions {
  readonly #root: RootDatabase<string, string>;
  readonly #timeLimitMs: number;
  #closed = false;

  constructor(root: RootDatabase<string, string>, timeLimitMs: number) {
    this.#root = root;
    this.#timeLimitMs = timeLimitMs;
  }

  /** All that `run` reads is of one moment, the latest that any process has committed. */
  read<T>(run: () => T): T {
    this.#throwIfClosed();
    try {
      // A read transaction is kept for a while; what another process has committed since is to be seen.
      this.#root.resetReadTxn();
      return run();
    } catch (error) {
      throw unavailable(error);
    }
  }

  /**
   * Runs alone among all processes, and resolves when it is on disk. `run` decides before it writes: what it throws
   * leaves standing what it has written. A transaction that does not begin within the limit, because another process
   * holds the store, is given up and writes nothing; one that has begun is waited for.
   */
  async write<T>(run: () => T): Promise<T> {
    this.#throwIfClosed();
    let state: 'waiting' | 'given up' | 'begun' = 'waiting';
    let outcome: { readonly value: T } | { readonly error: unknown } | undefined;
    const committed = this.#root.transaction(() => {
      if (state === 'given up') return;
      state = 'begun';
      // An error must not leave this function: lmdb would never end the transaction, and no other could begin.
      try {
        outcome = { value: run() };
      } catch (error) {
        outcome = { error };
      }
    });
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        if (state === 'begun') return;
        state = 'given up';
        reject(unavailable(new Error(`another process has held the store for ${this.#timeLimitMs} ms`)));
      }, this.#timeLimitMs);
      committed
        .then(
          () => resolve(),
          (error: unknown) => reject(unavailable(error)),
        )
        .finally(() => clearTimeout(timer));
    });
    if (outcome === undefined) throw unavailable(new Error('the transaction did not run'));
    if ('error' in outcome) throw unavailable(outcome.error);
    return outcome.value;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#root.close();
  }

  #throwIfClosed(): void {
    if (this.#closed) throw new RequestError('cmdb_unavailable', 'The configuration store is closed.');
  }
}

function unavailable(error: unknown): RequestError {
  return new RequestError('cmdb_unavailable', 'The configuration store cannot be used.', { cause: error });
}
