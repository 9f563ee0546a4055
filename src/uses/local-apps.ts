import type { AppRecord, Cmdb, DeploymentChange, Updated } from '../cmdb/cmdb.js';
import type { Note } from '../model/ledger/facts.js';
import { LocalApp } from './local-app.js';

/** Called with an app that this node is concerned with. */
export type RecordListener = (local: LocalApp) => void;

/**
 * The apps this node is concerned with at the moment: those it uses, boots, or lets requests wait for. Their records
 * are kept true by this node's own writes and by the change log; all others are read when they are needed.
 */
export class LocalApps {
  readonly #cmdb: Cmdb;
  readonly #apps = new Map<string, LocalApp>();
  readonly #listeners: RecordListener[] = [];
  #onOverTarget: RecordListener = () => {};
  readonly #reading = new Map<string, Promise<void>>();

  constructor(cmdb: Cmdb) {
    this.#cmdb = cmdb;
  }

  get(name: string): LocalApp | undefined {
    return this.#apps.get(name);
  }

  values(): IterableIterator<LocalApp> {
    return this.#apps.values();
  }

  onRecord(listener: RecordListener): void {
    this.#listeners.push(listener);
  }

  /** Called in the tick in which a request got a seat beyond the target of every instance that this node uses. */
  onOverTarget(listener: RecordListener): void {
    this.#onOverTarget = listener;
  }

  /** The app of a record that was just read; the record counts only if the app was not known. */
  of(record: AppRecord): LocalApp {
    const known = this.#apps.get(record.app.name);
    if (known) return known;
    const local = new LocalApp(record, (over) => this.#onOverTarget(over));
    this.#apps.set(local.name, local);
    return local;
  }

  /** The app's one object, to begin work on: it may have been let go since it was found. */
  keep(found: LocalApp): LocalApp {
    const known = this.#apps.get(found.name);
    if (known) return known;
    this.#apps.set(found.name, found);
    // It has missed changes since.
    void this.refresh(found.name).catch(() => {});
    return found;
  }

  /** The app by name, read from the store if it is not known; undefined if there is none. */
  async load(name: string): Promise<LocalApp | undefined> {
    const known = this.#apps.get(name);
    if (known) return known;
    const record = await this.#cmdb.find({ app: name });
    return record && this.of(record);
  }

  /** Changes the app's deployment; the outcome is known here before the promise resolves. The ledger gets what `note` knows. */
  async update(name: string, change: DeploymentChange, note?: Note): Promise<Updated> {
    const updated = await this.#cmdb.update(name, change, note);
    const { deployment, version } = updated;
    const local = this.#apps.get(name);
    if (local && local.version !== version)
      this.#see(local, { app: local.app, removed: local.removed, deployment, version });
    return updated;
  }

  /** The change log named this app: reads it again unless `version` is the one known. */
  async refresh(name: string, version?: string): Promise<void> {
    const local = this.#apps.get(name);
    if (!local || (version !== undefined && local.version === version)) return;
    const reading = this.#reading.get(name) ?? Promise.resolve();
    const next = reading.then(() => this.#read(local));
    this.#reading.set(name, next);
    await next.finally(() => {
      if (this.#reading.get(name) === next) this.#reading.delete(name);
    });
  }

  /** Reads every known app again: the change log has a gap. */
  async refreshAll(): Promise<void> {
    await Promise.all([...this.#apps.keys()].map((name) => this.refresh(name)));
  }

  /** Keeps the app known while `work` goes on. */
  async during<T>(local: LocalApp, work: () => Promise<T>): Promise<T> {
    local.holds += 1;
    try {
      return await work();
    } finally {
      local.holds -= 1;
      this.letGo(local);
    }
  }

  /** Forgets the app if nothing on this node needs it. */
  letGo(local: LocalApp): void {
    if (local.isIdle && this.#apps.get(local.name) === local) this.#apps.delete(local.name);
  }

  async #read(local: LocalApp): Promise<void> {
    for (;;) {
      const epoch = local.epoch;
      const record = await this.#cmdb.find({ app: local.name });
      // A write of this node came in between: what was read may be older than it.
      if (local.epoch !== epoch) continue;
      this.#see(local, record?.removed === false ? record : goneRecord(local, record));
      return;
    }
  }

  #see(local: LocalApp, record: AppRecord): void {
    const before = local.maintenance;
    local.see(record);
    for (const listener of this.#listeners) listener(local);
    // It was kept to refuse requests without a look-up in the store.
    if (before && !local.maintenance) this.letGo(local);
  }
}

/** Keeps the last known settings: the record of an app that is gone may not have them. */
function goneRecord({ app, name }: LocalApp, record: AppRecord | undefined): AppRecord {
  if (record) return { ...record, app };
  return { app, removed: true, deployment: { app: name, instances: [] }, version: '' };
}
