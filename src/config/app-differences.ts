import { relative } from 'node:path';
import type { Logger } from 'pino';
import type { AppRecord, Cmdb } from '../cmdb/cmdb.js';
import type { App } from '../model/app.js';
import type { Clock, Timer } from '../model/clock.js';

export interface AppDifferencesOptions {
  readonly cmdb: Pick<Cmdb, 'find' | 'list'>;
  readonly fileOf: (app: string) => string | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
}

const retryMs = 5_000;
/** Of so many apps at once each is asked for by itself. */
const fewApps = 20;

/**
 * Where this machine's files and the CMDB differ though all that changed here was applied: another machine has another file
 * of the app, or none any more. Each difference is logged once, and once more when it has gone.
 */
export class AppDifferences {
  readonly #options: AppDifferencesOptions;
  /** By name; undefined while what the files say is not applied yet. */
  #wanted: ReadonlyMap<string, App> | undefined;
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
    this.#wanted = undefined;
  }

  /** These apps were applied from files; what was refused for its domains is reported as such. Looks at all of them. */
  expect(apps: readonly App[], refused: ReadonlySet<string>): void {
    this.#wanted = new Map(apps.filter(({ name }) => !refused.has(name)).map((app) => [app.name, app]));
    for (const name of this.#logged.keys()) if (!this.#wanted.has(name)) this.#logged.delete(name);
    this.look('all');
  }

  /** Records of these apps changed. In the background; what fails is tried again. */
  look(names: readonly string[] | 'all'): void {
    if (this.#open !== 'all') this.#open = names === 'all' ? 'all' : new Set([...this.#open, ...names]);
    if (this.#stopped) return;
    this.#looking ??= this.#lookAtOpen().finally(() => (this.#looking = undefined));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#looking;
  }

  async #lookAtOpen(): Promise<void> {
    const { clock, logger } = this.#options;
    while (this.#wanted && !this.#stopped && (this.#open === 'all' || this.#open.size > 0)) {
      const wanted = this.#wanted;
      const names = this.#open === 'all' ? [...wanted.keys()] : [...this.#open].filter((name) => wanted.has(name));
      this.#open = new Set();
      try {
        const records = await this.#read(names);
        // Applied anew meanwhile: then all of them are looked at anew.
        if (this.#wanted === wanted)
          for (const name of names) this.#compare(wanted.get(name) as App, records.get(name));
      } catch (error) {
        logger.debug({ err: error }, 'comparing the app files with the CMDB failed; trying again');
        this.#timer?.cancel();
        this.#timer = clock.after(retryMs, () => this.look(names));
        return;
      }
    }
  }

  async #read(names: readonly string[]): Promise<Map<string, AppRecord>> {
    const { cmdb } = this.#options;
    const records = new Map<string, AppRecord>();
    if (names.length > fewApps) {
      for await (const record of cmdb.list('all')) records.set(record.app.name, record);
      return records;
    }
    const found = await Promise.all(names.map((name) => cmdb.find({ app: name })));
    for (const record of found) if (record) records.set(record.app.name, record);
    return records;
  }

  #compare(app: App, record: AppRecord | undefined): void {
    const { logger, fileOf } = this.#options;
    const path = fileOf(app.name);
    const file = path === undefined ? undefined : relative('', path);
    const stored = record && !record.removed ? JSON.stringify(record.app) : 'none';
    if (stored === JSON.stringify(app)) {
      if (this.#logged.delete(app.name))
        logger.info({ app: app.name, file }, 'the file of the app is what the CMDB has');
      return;
    }
    if (this.#logged.get(app.name) === stored) return;
    this.#logged.set(app.name, stored);
    const { host: storedFrom, since } = (stored === 'none' ? undefined : record?.origin) ?? {};
    const storedSince = since === undefined ? undefined : new Date(since).toISOString();
    const fields = { app: app.name, file, storedFrom, storedSince };
    logger.warn(fields, stored === 'none' ? goneMessage(app, file) : differentMessage(app, file, storedFrom));
  }
}

function differentMessage({ name }: App, file: string | undefined, host: string | undefined): string {
  const source = host === undefined ? 'something else' : `the file of ${host}`;
  return `app ${name}: the CMDB has ${source}, not ${file}; make the files the same: bring that one here, or change this one to apply it`;
}

function goneMessage({ name }: App, file: string | undefined): string {
  return `app ${name}: it is not in the CMDB any more, removed elsewhere; delete ${file} as well, or change it to apply it again`;
}
