import type { Database, RootDatabase } from 'lmdb';
import type { Change, ChangeBatch } from '../cmdb.js';

const batch = 1_000;
/** Changes of other processes that are looked up one by one: a look costs a tenth of a search from the end. */
const fewChanges = 16;

/** A bounded table of changes, numbered in their order. The caller writes within a transaction. */
export class ChangeTable {
  readonly #entries: Database<string, number>;
  readonly #length: number;
  /** The last change seen; others may have followed. */
  #seen = 0;

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
    let last = this.#seen;
    const isKnown = last > 0 && this.#entries.doesExist(last);
    const until = last + fewChanges;
    if (isKnown) while (last < until && this.#entries.doesExist(last + 1)) last += 1;
    if (!isKnown || last === until) [last = 0] = this.#entries.getKeys({ reverse: true, limit: 1 });
    return (this.#seen = last);
  }
}

function sequenceOf(position: string, store: string): number | undefined {
  const [, life, sequence] = /^([\w-]+):(\d{1,15})$/.exec(position) ?? [];
  return life === store ? Number(sequence) : undefined;
}
