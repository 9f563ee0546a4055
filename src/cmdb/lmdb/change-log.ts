import type { Database, RootDatabase } from 'lmdb';
import type { Change, ChangeBatch } from '../cmdb.js';

const batch = 1_000;

/** A bounded table of changes, numbered as they come. Its writes belong into a transaction of the caller. */
export class ChangeTable {
  readonly #entries: Database<string, number>;
  readonly #length: number;

  /** Holds the last `length` changes. */
  constructor(root: RootDatabase<string, string>, length: number) {
    this.#entries = root.openDB<string, number>({ name: 'log', encoding: 'string' });
    this.#length = length;
  }

  append(change: Change): void {
    const sequence = this.#last() + 1;
    void this.#entries.put(sequence, JSON.stringify(change));
    const oldest = sequence - this.#length;
    if (oldest > 0) void this.#entries.remove(oldest);
  }

  /** See Cmdb.changes; does not wait. */
  after(position: string | undefined): ChangeBatch {
    const last = this.#last();
    if (position === undefined) return { position: String(last), changes: [], lost: false };
    const from = Number(position);
    const [first = 1] = this.#entries.getKeys({ limit: 1 });
    if (!Number.isSafeInteger(from) || from < first - 1 || from > last) {
      return { position: String(last), changes: [], lost: true };
    }
    const entries = [...this.#entries.getRange({ start: from + 1, limit: batch })];
    const changes = entries.map(({ value }) => JSON.parse(value) as Change);
    return { position: String(entries.at(-1)?.key ?? from), changes, lost: false };
  }

  #last(): number {
    const [last = 0] = this.#entries.getKeys({ reverse: true, limit: 1 });
    return last;
  }
}
