import type { Database, RootDatabase } from 'lmdb';

/** Apps in the order of their next deadlines. Its writes belong into a transaction of the caller. */
export class Schedule {
  /** [due at, app]. */
  readonly #order: Database<string, [number, string]>;
  /** When each app is due, to find its entry above. */
  readonly #dueAt: Database<string, string>;

  constructor(root: RootDatabase<string, string>) {
    this.#order = root.openDB<string, [number, string]>({ name: 'schedule', encoding: 'string' });
    this.#dueAt = root.openDB<string, string>({ name: 'scheduled-at', encoding: 'string' });
  }

  /** Moves the app's entry; undefined takes it out. */
  set(app: string, at: number | undefined): void {
    const before = this.dueAt(app);
    if (before === at) return;
    if (before !== undefined) void this.#order.remove([before, app]);
    if (at === undefined) {
      void this.#dueAt.remove(app);
      return;
    }
    void this.#dueAt.put(app, String(at));
    void this.#order.put([at, app], '');
  }

  dueAt(app: string): number | undefined {
    const at = this.#dueAt.get(app);
    return at === undefined ? undefined : Number(at);
  }

  /** The first ones whose deadline has passed at `now`. */
  due(now: number, limit: number): string[] {
    return [...this.#order.getKeys({ end: [now, '\uffff'], limit })].map(([, app]) => app);
  }

  apps(): string[] {
    return [...this.#dueAt.getKeys()];
  }
}
