import type { Database, RootDatabase } from 'lmdb';
import type { LedgerQuery } from '../cmdb.js';
import { entriesPerApp, ledgerStart, type StoredEntries } from '../documents.js';
import type { Draft } from '../draft.js';

/** Numbers of one millisecond; an id shows both. */
const perMs = 1_000;
const last = Number.MAX_SAFE_INTEGER;

/** The ledger of all apps, and that of each. The caller writes within a transaction. */
export class LedgerTable {
  readonly #all: Database<string, number>;
  readonly #ofApps: Database<string, [string, number]>;
  readonly #length: number;

  /** Keeps `length` entries of all apps together. */
  constructor(root: RootDatabase<string, string>, length: number) {
    this.#all = root.openDB<string, number>({ name: 'ledger', encoding: 'string' });
    this.#ofApps = root.openDB<string, [string, number]>({ name: 'ledger-of-apps', encoding: 'string' });
    this.#length = length;
  }

  /** Writes the entries of a draft, and removes those of apps that it drops. */
  write(draft: Draft, now: number): void {
    for (const { table, name, text } of draft.writes)
      if (table === 'app' && text === undefined) for (const key of this.#keysOf(name)) void this.#ofApps.remove(key);
    for (const { app, text } of draft.entries) {
      const [newest = 0] = this.#all.getKeys({ reverse: true, limit: 1 });
      const key = Math.max(newest + 1, now * perMs);
      void this.#all.put(key, text);
      this.#trim();
      if (draft.drops(app)) continue;
      void this.#ofApps.put([app, key], text);
      for (const old of this.#keysOf(app).slice(0, -entriesPerApp)) void this.#ofApps.remove(old);
    }
  }

  /** See Cmdb.ledger. */
  read({ app, after, limit }: LedgerQuery): StoredEntries {
    const from = after === undefined || after === ledgerStart ? undefined : keyOf(after);
    const found = app === undefined ? this.#ofAll(from, after, limit) : this.#ofApp(app, from, after, limit);
    const entries = found.map(({ key, text }) => ({ id: idOf(key), text }));
    return { entries, gap: from !== undefined && !this.#reachesTo(app, from) };
  }

  #ofAll(from: number | undefined, after: string | undefined, limit: number) {
    const range = after === undefined ? { reverse: true, limit } : { start: (from ?? 0) + 1, limit };
    const found = [...this.#all.getRange(range)].map(({ key, value }) => ({ key, text: value }));
    return after === undefined ? found.toReversed() : found;
  }

  #ofApp(app: string, from: number | undefined, after: string | undefined, limit: number) {
    const range =
      after === undefined
        ? { start: [app, last], end: [app, 0], reverse: true, limit }
        : { start: [app, (from ?? 0) + 1], end: [app, last], limit };
    const found = [...this.#ofApps.getRange(range as object)].map(({ key: [, key], value }) => ({ key, text: value }));
    return after === undefined ? found.toReversed() : found;
  }

  /** Whether an entry of this number or an earlier one is still there. */
  #reachesTo(app: string | undefined, from: number): boolean {
    const [first] =
      app === undefined
        ? this.#all.getKeys({ limit: 1 })
        : [...this.#ofApps.getKeys({ start: [app, 0], end: [app, last], limit: 1 })].map(([, key]) => key);
    return first !== undefined && first <= from;
  }

  #keysOf(app: string): [string, number][] {
    return [...this.#ofApps.getKeys({ start: [app, 0], end: [app, last] })];
  }

  #trim(): void {
    const { entryCount } = this.#all.getStats() as { readonly entryCount: number };
    const tooMany = entryCount - this.#length;
    if (tooMany > 0) for (const key of [...this.#all.getKeys({ limit: tooMany })]) void this.#all.remove(key);
  }
}

function idOf(key: number): string {
  return `${Math.floor(key / perMs)}-${key % perMs}`;
}

/** A number that no store gives is as good as the last one before it. */
function keyOf(id: string): number {
  const [ms = 0, number = 0] = id.split('-').map(Number);
  return Math.min(last - 1, ms * perMs + Math.min(number, perMs - 1));
}
