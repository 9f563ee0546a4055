import type { Change } from './cmdb.js';
import type { Use } from '../model/usage.js';
import type { Documents, Table } from './documents.js';

export interface Write {
  readonly table: Table;
  readonly name: string;
  readonly text: string | undefined;
}

export interface Move {
  readonly at: number | undefined;
  /** Only an earlier time counts: see `Documents.scheduleBy`. */
  readonly isBy: boolean;
}

/** Collects what a transaction writes, before any of it is stored. */
export class Draft implements Documents {
  readonly #read: (table: Table, name: string) => string | undefined;
  readonly #writes = new Map<string, Write>();
  /** Changes of the schedule, by app. */
  readonly moves = new Map<string, Move>();
  readonly changes: Change[] = [];
  /** What is added to the ledger. */
  readonly entries: { readonly app: string; readonly text: string }[] = [];
  readonly uses: Use[] = [];

  constructor(read: (table: Table, name: string) => string | undefined) {
    this.#read = read;
  }

  get writes(): Iterable<Write> {
    return this.#writes.values();
  }

  get isEmpty(): boolean {
    const { moves, changes, entries, uses } = this;
    return this.#writes.size + moves.size + changes.length + entries.length + uses.length === 0;
  }

  get(table: Table, name: string): string | undefined {
    const written = this.#writes.get(`${table}:${name}`);
    return written ? written.text : this.#read(table, name);
  }

  set(table: Table, name: string, text: string | undefined): void {
    this.#writes.set(`${table}:${name}`, { table, name, text });
  }

  schedule(app: string, at: number | undefined): void {
    this.moves.set(app, { at, isBy: false });
  }

  scheduleBy(app: string, at: number): void {
    this.moves.set(app, { at, isBy: true });
  }

  append(change: Change): void {
    this.changes.push(change);
  }

  enter(app: string, text: string): void {
    this.entries.push({ app, text });
  }

  /** Whether it removes the app's record. */
  drops(app: string): boolean {
    const write = this.#writes.get(`app:${app}`);
    return write !== undefined && write.text === undefined;
  }

  use(use: Use): void {
    this.uses.push(use);
  }
}
