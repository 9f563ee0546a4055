import type { Database, RootDatabase } from 'lmdb';
import type { Change, ChangeBatch } from '../cmdb.js';

const batch = 1_000;

/** A bounded table of changes, numbered in their order. The caller writes within a transaction. */
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

  /** See Cmdb.changes; does not wait. A position holds only for the life of the store that gave it. */
  after(position: string | undefined, store: string): ChangeBatch {
    const last = this.#last();
    const at = (sequence: number) => `${store}:${sequence}`;
    if (position === undefined) return { position: at(last), changes: [], gap: false };
    const from = sequenceOf(position, store);
    const [first = 1] = this.#entries.getKeys({ limit: 1 });
    if (from === undefined || from < first - 1 || from > last) return { position: at(last), changes: [], gap: true };
    const entries = [...this.#entries.getRange({ start: from + 1, limit: batch })];
    const changes = entries.map(({ value }) => JSON.parse(value) as Change);
    return { position: at(entries.at(-1)?.key ?? from), changes, gap: false };
  }

  #last(): number {
    const [last = 0] = this.#entries.getKeys({ reverse: true, limit: 1 });
    return last;
  }
}

function sequenceOf(position: string, store: string): number | undefined {
  const [, life, sequence] = /^([\w-]+):(\d{1,15})$/.exec(position) ?? [];
  return life === store ? Number(sequence) : undefined;
}
