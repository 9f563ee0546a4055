import type { Database, RootDatabase } from 'lmdb';
import type { Table } from '../documents.js';
import type { Draft } from '../draft.js';

/** The documents and the schedule. The caller writes within a transaction. */
export class Tables {
  readonly #documents: Readonly<Record<Table, Database<string, string>>>;
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
    this.#schedule = root.openDB<string, [number, string]>({ name: 'schedule', encoding: 'string' });
    this.#dueAt = table('scheduled-at');
  }

  get(table: Table, name: string): string | undefined {
    return this.#documents[table].get(name);
  }

  /** Writes a draft's documents and schedule, but not its changes. */
  write(draft: Draft): void {
    for (const { table, name, text } of draft.writes) {
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

  #dueAtOf(app: string): number | undefined {
    const at = this.#dueAt.get(app);
    return at === undefined ? undefined : Number(at);
  }
}
