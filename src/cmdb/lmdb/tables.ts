import type { Database, RootDatabase } from 'lmdb';
import type { Day, Use } from '../../model/usage.js';
import type { Table } from '../documents.js';
import type { Draft } from '../draft.js';
import { addToRow } from '../usage-row.js';

/** Apps whose usage is past that a new row makes leave at most. */
const mostForgotten = 20;
const dayLength = '2026-11-30'.length;

/** The documents and the schedule. The caller writes within a transaction. */
export class Tables {
  readonly #documents: Readonly<Record<Exclude<Table, 'usage'>, Database<string, string>>>;
  /** Usage by [app, day]. */
  readonly #usage: Database<string, [string, Day]>;
  /** Apps by the last day on which they used something: [day, app]. */
  readonly #users: Database<string, [Day, string]>;
  /** Apps by deadline: [due at, app]. */
  readonly #schedule: Database<string, [number, string]>;
  /** When each app is due, to find its entry in the schedule. */
  readonly #dueAt: Database<string, string>;

  constructor(root: RootDatabase<string, string>) {
    const table = (name: string) => root.openDB<string, string>({ name, encoding: 'string' });
    this.#documents = {
      app: table('apps'),
      deployment: table('deployments'),
      domain: table('domains'),
      files: table('files'),
      sealed: table('sealed'),
    };
    this.#usage = root.openDB<string, [string, Day]>({ name: 'usage', encoding: 'string' });
    this.#users = root.openDB<string, [Day, string]>({ name: 'users', encoding: 'string' });
    this.#schedule = root.openDB<string, [number, string]>({ name: 'schedule', encoding: 'string' });
    this.#dueAt = table('scheduled-at');
  }

  get(table: Table, name: string): string | undefined {
    if (table === 'usage') return this.#usage.get([name.slice(dayLength + 1), name.slice(0, dayLength)]);
    return this.#documents[table].get(name);
  }

  /** Writes a draft's documents, schedule and usage, but not its changes. Usage before `oldest` is not kept. */
  write(draft: Draft, oldest: Day): void {
    for (const use of draft.uses) this.#use(use, oldest);
    for (const { table, name, text } of draft.writes) {
      if (table === 'usage') throw new Error('usage is only added to');
      if (text === undefined) void this.#documents[table].remove(name);
      else void this.#documents[table].put(name, text);
    }
    for (const [app, { at, isBy }] of draft.moves) {
      this.schedule(app, isBy && at !== undefined ? Math.min(at, this.#dueAtOf(app) ?? 0) : at);
    }
  }

  /** Moves the app's entry; undefined removes it. */
  schedule(app: string, at: number | undefined): void {
    const before = this.#dueAtOf(app);
    if (before === at) return;
    if (before !== undefined) void this.#schedule.remove([before, app]);
    if (at === undefined) {
      void this.#dueAt.remove(app);
      return;
    }
    void this.#dueAt.put(app, String(at));
    void this.#schedule.put([at, app], '');
  }

  /** Up to `limit` apps that are due at `now`, the earliest first. */
  due(now: number, limit: number): string[] {
    return [...this.#schedule.getKeys({ end: [now, '\uffff'], limit })].map(([, app]) => app);
  }

  apps(): string[] {
    return [...this.#documents.app.getKeys()];
  }

  scheduled(): string[] {
    return [...this.#dueAt.getKeys()];
  }

  /** Apps that have usage of this day or a later one. */
  usersSince(day: Day): string[] {
    return [...this.#users.getKeys({ start: [day, ''] })].map(([, app]) => app);
  }

  #use(use: Use, oldest: Day): void {
    const { app, day } = use;
    if (day < oldest) return;
    const last = this.#lastDayOf(app);
    void this.#usage.put([app, day], addToRow(this.#usage.get([app, day]), use));
    if (last !== undefined && last >= day) return;
    if (last !== undefined) void this.#users.remove([last, app]);
    void this.#users.put([day, app], '');
    this.#forget(app, oldest);
    const past = [...this.#users.getKeys({ end: [oldest, ''], limit: mostForgotten })];
    for (const [lastDay, idle] of past) {
      this.#forget(idle, oldest);
      void this.#users.remove([lastDay, idle]);
    }
  }

  #lastDayOf(app: string): Day | undefined {
    const [last] = this.#usage.getKeys({ start: [app, '\uffff'], end: [app, ''], reverse: true, limit: 1 });
    return last?.[1];
  }

  #forget(app: string, oldest: Day): void {
    for (const key of [...this.#usage.getKeys({ start: [app, ''], end: [app, oldest] })]) void this.#usage.remove(key);
  }

  #dueAtOf(app: string): number | undefined {
    const at = this.#dueAt.get(app);
    return at === undefined ? undefined : Number(at);
  }
}
