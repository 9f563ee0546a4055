import type { RootDatabase } from 'lmdb';
import { RequestError } from '../../model/errors.js';
import { unavailable } from '../unavailable.js';
import { type Outcome, outcomeOf } from './outcome.js';

/** Looks without a result before writes fall back to waiting for the disk. */
const mostLooks = 100;

/** A write that waits until all can read it. */
interface Unseen {
  readonly transaction: number;
  readonly end: () => void;
}

/** Reads and writes of one store, with a time limit. What LMDB throws becomes `cmdb_unavailable`; a defect is thrown as it is. */
export class Transactions {
  readonly #root: RootDatabase<string, string>;
  readonly #timeLimitMs: number;
  #closed = false;
  /** Settles when the last write is on disk, and with it all before. */
  #onDisk = Promise.resolve();
  #unseen: readonly Unseen[] = [];
  #looks = 0;

  constructor(root: RootDatabase<string, string>, timeLimitMs: number) {
    this.#root = root;
    this.#timeLimitMs = timeLimitMs;
  }

  /** All that `run` reads is of one moment, the latest that any process has committed. */
  read<T>(run: () => T): T {
    this.#throwIfClosed();
    return fromStore(() => {
      // A read transaction is kept for a while; what another process has committed since is to be seen.
      this.#root.resetReadTxn();
      return run();
    });
  }

  /**
   * Runs alone among all processes, and resolves when every process of the machine can read it; when it is on disk as well if
   * `isLasting` says so of what `run` gave. `run` decides before it writes: what it throws leaves standing what it has written. A
   * transaction that does not begin within the limit, because another process holds the store, is given up and writes nothing; one
   * that has begun is waited for.
   */
  async write<T>(run: () => T, isLasting: (value: T) => boolean = () => false): Promise<T> {
    this.#throwIfClosed();
    let state: 'waiting' | 'given up' | 'begun' = 'waiting';
    let outcome: Outcome<T> | undefined;
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(() => {
        if (state !== 'waiting') return;
        state = 'given up';
        reject(unusable(new Error(`another process has held the store for ${this.#timeLimitMs} ms`)));
      }, this.#timeLimitMs);
      const end = (error?: unknown) => {
        clearTimeout(timer);
        if (error === undefined) resolve();
        else reject(unusable(error));
      };
      const committed = this.#root.transaction(() => {
        if (state === 'given up') return;
        state = 'begun';
        // An error must not leave this function: lmdb would never end the transaction, and no other could begin.
        outcome = outcomeOf(run);
        if ('error' in outcome || isLasting(outcome.value)) return;
        if (this.#unseen.length === 0) setImmediate(this.#lookForUnseen);
        this.#unseen = [...this.#unseen, { transaction: this.#root.getWriteTxnId(), end }];
      });
      // If the disk fails later, the next write reports it: lmdb takes none after that.
      this.#onDisk = committed.then(() => end(), end);
    });
    if (outcome === undefined) throw unusable(new Error('the transaction did not run'));
    if ('error' in outcome) throw unusable(outcome.error);
    return outcome.value;
  }

  /**
   * lmdb 3.5 reports only the flush, long after the data is visible, whatever its README says of `separateFlushed`: the native code
   * does not use it. So this looks at the last transaction that can be read, until all that wait are seen.
   */
  readonly #lookForUnseen = (): void => {
    if (this.#closed) return;
    const { lastTxnId = 0 } = this.#root.getStats() as { readonly lastTxnId?: number };
    const before = this.#unseen;
    this.#unseen = before.filter(({ transaction }) => transaction > lastTxnId);
    for (const { transaction, end } of before) if (transaction <= lastTxnId) end();
    this.#looks = this.#unseen.length < before.length ? 0 : this.#looks + 1;
    if (this.#looks > mostLooks) {
      this.#looks = 0;
      this.#unseen = [];
    } else if (this.#unseen.length > 0) setImmediate(this.#lookForUnseen);
  };

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#onDisk;
    await this.#root.close();
  }

  #throwIfClosed(): void {
    if (this.#closed) throw new RequestError('cmdb_unavailable', 'The configuration store is closed.');
  }
}

/** Runs what asks LMDB: what that throws becomes `cmdb_unavailable`. */
export function fromStore<T>(run: () => T): T {
  try {
    return run();
  } catch (error) {
    throw unusable(error);
  }
}

function unusable(error: unknown): Error {
  return unavailable(error, 'The configuration store cannot be used.');
}
