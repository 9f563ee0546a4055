import type { RootDatabase } from 'lmdb';
import { RequestError } from '../../model/errors.js';
import { type Outcome, outcomeOf } from './outcome.js';

/** After that many looks at what is visible, a write is waited for until it is on disk. */
const mostLooks = 100;

/** Reads and writes of one store, with a time limit and one kind of error. */
export class Transactions {
  readonly #root: RootDatabase<string, string>;
  readonly #timeLimitMs: number;
  #closed = false;
  /** What was written last. */
  #onDisk = Promise.resolve();

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
   * Runs alone among all processes, and resolves when every process of the machine can read it; when it is on disk as well if
   * `isLasting` says so of what `run` gave. `run` decides before it writes: what it throws leaves standing what it has written. A
   * transaction that does not begin within the limit, because another process holds the store, is given up and writes nothing; one
   * that has begun is waited for.
   */
  async write<T>(run: () => T, isLasting: (value: T) => boolean = () => false): Promise<T> {
    this.#throwIfClosed();
    let state: 'waiting' | 'given up' | 'begun' | 'done' = 'waiting';
    let outcome: Outcome<T> | undefined;
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        if (state !== 'waiting') return;
        state = 'given up';
        reject(unavailable(new Error(`another process has held the store for ${this.#timeLimitMs} ms`)));
      }, this.#timeLimitMs);
      const end = (error?: unknown) => {
        if (state === 'begun') state = 'done';
        clearTimeout(timer);
        if (error === undefined) resolve();
        else reject(unavailable(error));
      };
      const committed = this.#root.transaction(() => {
        if (state === 'given up') return;
        state = 'begun';
        // An error must not leave this function: lmdb would never end the transaction, and no other could begin.
        outcome = outcomeOf(run);
        if ('error' in outcome || isLasting(outcome.value)) return;
        this.#whenVisible(this.#root.getWriteTxnId(), () => state === 'begun', end);
      });
      // A disk that fails later is told by the next write: lmdb takes none after that.
      this.#onDisk = committed.then(() => end(), end);
    });
    if (outcome === undefined) throw unavailable(new Error('the transaction did not run'));
    if ('error' in outcome) throw unavailable(outcome.error);
    return outcome.value;
  }

  /** lmdb tells only when a transaction is on disk, which takes many times as long as until it can be read. */
  #whenVisible(id: number, isWaited: () => boolean, run: () => void): void {
    let looks = 0;
    const look = () => {
      if (!isWaited()) return;
      const { lastTxnId = 0 } = this.#root.getStats() as { readonly lastTxnId?: number };
      if (lastTxnId >= id) run();
      else if ((looks += 1) < mostLooks) setImmediate(look);
    };
    setImmediate(look);
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    await this.#onDisk;
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
