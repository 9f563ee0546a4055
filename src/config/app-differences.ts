import { relative } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import type { Logger } from 'pino';
import { batches } from '../machine/batches.js';
import type { AppRecord, Cmdb } from '../cmdb/cmdb.js';
import type { App } from '../model/app.js';
import type { Clock, Timer } from '../model/clock.js';

export interface AppDifferencesOptions {
  readonly cmdb: Pick<Cmdb, 'find' | 'list'>;
  readonly fileOf: (app: string) => string | undefined;
  /** The store lacks these apps although files of this machine have them; put them again. */
  readonly onMissing: (apps: readonly string[]) => void;
  readonly clock: Clock;
  readonly logger: Logger;
}

/** The apps that were applied last, by name, and to which store. */
interface Applied {
  readonly apps: Map<string, App>;
  readonly store: string | undefined;
}

const retryMs = 5_000;
/** Apps that are asked for at a time. */
const atOnce = 20;
/** If more than this share of the apps has to be looked at, all are listed. */
const manyShare = 0.1;

/**
 * Finds apps of which the CMDB says something else than this machine's files, although these were applied: another machine has
 * another file of the app, or has removed it. Each difference is logged once, and once more when it is gone.
 */
export class AppDifferences {
  readonly #options: AppDifferencesOptions;
  #applied: Applied = { apps: new Map(), store: undefined };
  /** The files have changed since they were applied. */
  #isSuspended = true;
  /** What was logged, by app: the stored content. */
  readonly #logged = new Map<string, string>();
  /** Apps to look at. */
  #open: Set<string> | 'all' = new Set();
  #looking: Promise<void> | undefined;
  #timer: Timer | undefined;
  #stopped = false;

  constructor(options: AppDifferencesOptions) {
    this.#options = options;
  }

  /** How many apps differ. */
  get count(): number {
    return this.#logged.size;
  }

  /** The files changed, or the store was replaced: nothing is judged until `expect`. */
  suspend(): void {
    this.#isSuspended = true;
  }

  /**
   * These apps were applied to this store; those that it refused are reported elsewhere. Looks at apps that are another object
   * than last time, or at all of them if the store is another one.
   */
  expect(apps: readonly App[], refused: ReadonlySet<string>, store: string | undefined): void {
    const known = this.#applied.store === store ? this.#applied.apps : new Map<string, App>();
    const wanted = refused.size === 0 ? apps : apps.filter(({ name }) => !refused.has(name));
    const news = wanted.filter((app) => known.get(app.name) !== app);
    // Of thousands usually one has changed.
    const isKept = wanted.length === known.size && news.every(({ name }) => known.has(name));
    const byName = isKept ? known : new Map<string, App>();
    for (const app of isKept ? news : wanted) byName.set(app.name, app);
    this.#applied = { apps: byName, store };
    this.#isSuspended = false;
    for (const name of this.#logged.keys()) if (!byName.has(name)) this.#logged.delete(name);
    this.look(news.length === byName.size ? 'all' : news.map(({ name }) => name));
  }

  /** Looks at the records of these apps in the background, until that succeeds. */
  look(names: readonly string[] | 'all'): void {
    if (names === 'all') this.#open = 'all';
    else if (this.#open !== 'all') for (const name of names) this.#open.add(name);
    if (this.#stopped) return;
    this.#looking ??= this.#lookAtOpen().finally(() => (this.#looking = undefined));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#looking;
  }

  async #lookAtOpen(): Promise<void> {
    const { clock, logger, onMissing } = this.#options;
    await turn();
    while (!this.#isSuspended && !this.#stopped && (this.#open === 'all' || this.#open.size > 0)) {
      const applied = this.#applied;
      const { apps } = applied;
      const names = this.#open === 'all' ? [...apps.keys()] : [...this.#open].filter((name) => apps.has(name));
      this.#open = new Set();
      try {
        const missing = await this.#lookAt(names, applied);
        if (missing.length > 0) onMissing(missing);
      } catch (error) {
        logger.debug({ err: error }, 'comparing the app files with the CMDB failed; trying again');
        this.#timer?.cancel();
        this.#timer = clock.after(retryMs, () => this.look(names));
        return;
      }
    }
  }

  /** Resolves to those that the store lacks. If others were applied meanwhile, it looks again. */
  async #lookAt(names: readonly string[], applied: Applied): Promise<string[]> {
    const { apps } = applied;
    const left = new Set(names);
    await turn();
    for await (const record of this.#read(names, apps.size)) {
      if (this.#isOutdated(applied)) break;
      const app = apps.get(record.app.name);
      if (!app || !left.has(app.name) || record.removed) continue;
      left.delete(app.name);
      this.#compare(app, record);
    }
    if (!this.#isOutdated(applied)) {
      for (const name of left) this.#compare(apps.get(name) as App, undefined);
      return [...left];
    }
    this.look([...left]);
    return [];
  }

  #isOutdated(applied: Applied): boolean {
    return this.#isSuspended || this.#applied !== applied;
  }

  async *#read(names: readonly string[], all: number): AsyncGenerator<AppRecord> {
    const { cmdb } = this.#options;
    if (names.length > Math.max(atOnce, all * manyShare)) return yield* cmdb.list('all');
    for (const some of batches(names, atOnce)) {
      const found = await Promise.all(some.map((name) => cmdb.find({ app: name })));
      for (const record of found) if (record) yield record;
    }
  }

  #compare(app: App, record: AppRecord | undefined): void {
    const { logger, fileOf } = this.#options;
    const path = fileOf(app.name);
    const file = path === undefined ? undefined : relative('', path);
    const stored = record && !record.removed ? JSON.stringify(record.app) : 'none';
    if (stored === JSON.stringify(app)) {
      if (this.#logged.delete(app.name))
        logger.info({ app: app.name, file }, 'the file of the app and the CMDB agree again');
      return;
    }
    if (this.#logged.get(app.name) === stored) return;
    this.#logged.set(app.name, stored);
    const { host: storedFrom, since, api } = (stored === 'none' ? undefined : record?.origin) ?? {};
    const storedSince = since === undefined ? undefined : new Date(since).toISOString();
    const fields = { app: app.name, file, storedFrom, storedSince };
    const source = api ? `what was put by API (token ${api.by})` : storedFrom && `the file of ${storedFrom}`;
    logger.warn(fields, stored === 'none' ? goneMessage(app, file) : differentMessage(app, file, source));
  }
}

function differentMessage({ name }: App, file: string | undefined, source = 'something else'): string {
  return `app ${name}: the CMDB has ${source}, not ${file}; make the files the same: bring that one here, or change this one to apply it`;
}

function goneMessage({ name }: App, file: string | undefined): string {
  return `app ${name}: another machine removed it from the CMDB, and it is put again from ${file}; to remove the app, delete that file too`;
}
