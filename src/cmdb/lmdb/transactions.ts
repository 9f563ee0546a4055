import type { RootDatabase } from 'lmdb';
import { RequestError } from '../../model/errors.js';
import { unavailable } from '../unavailable.js';
import { type Outcome, outcomeOf } from './outcome.js';

/** Fruitless looks after which writes wait for the disk instead. */
const mostLooks = 100;

/** A write that waits until every process can read it. */
interface Unseen {
  readonly transaction: number;
  readonly end: () => void;
}

/** Reads and writes of one store, with a time limit. Errors of LMDB become `cmdb_unavailable`; defects of ours are rethrown. */
export class Transactions {
  readonly #root: RootDatabase<string, string>;
  readonly #timeLimitMs: number;
  #closed = false;
  /** Settles when all writes are on disk. */
  #onDisk = Promise.resolve();
  #unseen: readonly Unseen[] = [];
  #looks = 0;

  constructor(root: RootDatabase<string, string>, timeLimitMs: number) {
    this.#root = root;
    this.#timeLimitMs = timeLimitMs;
  }

  /** Runs `run` on a snapshot of what all processes have committed so far. */
  read<T>(run: () => T): T {
    this.#throwIfClosed();
    return fromStore(() => {
      // LMDB keeps a read transaction for a while, which would hide what other processes committed since.
      this.#root.resetReadTxn();
      return run();
    });
  }

  /**
   * Runs `run` alone among all processes, and resolves when every process can read what it wrote; if `isLasting` is true of its result,
   * when that is on disk. What `run` has written before it throws stays, so it must decide first.
   *
   * A transaction that does not begin within the limit, because another process holds the store, is given up and writes nothing; one
   * that has begun is awaited.
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
        // An error must not leave this function: LMDB would never end the transaction, and no other could begin.
        outcome = outcomeOf(run);
        if ('error' in outcome || isLasting(outcome.value)) return;
        if (this.#unseen.length === 0) setImmediate(this.#lookForUnseen);
        this.#unseen = [...this.#unseen, { transaction: this.#root.getWriteTxnId(), end }];
      });
      // If the disk fails later, the next write reports it, as LMDB takes no more.
      this.#onDisk = committed.then(() => end(), end);
    });
    if (outcome === undefined) throw unusable(new Error('the transaction did not run'));
    if ('error' in outcome) throw unusable(outcome.error);
    return outcome.value;
  }

  /**
   * Polls for the last readable transaction, until every waiting write is visible. lmdb 3.5 reports only the flush, which comes much
   * later: its native code ignores `separateFlushed`, despite its README.
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

/** Runs a call of LMDB, and turns its errors into `cmdb_unavailable`. */
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
