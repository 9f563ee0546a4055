import { createHash, randomBytes } from 'node:crypto';
import { mkdir, open, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { claimName } from '../../machine/claim-name.js';
import { knownIds, readDatabases } from './account.js';
import { removeAbandoned } from './records.js';

export interface AutoUsersOptions {
  readonly directory: string;
  readonly cmdbName: string;
  readonly range: { readonly from: number; readonly to: number };
}

/**
 * Users of apps with `user: auto`: each app gets a number of its own, for good. `NUMBER` exists once it is given, `app-HASH` says
 * which one an app has. None is given twice, since nobody knows where a removed app left files.
 */
export class AutoUsers {
  readonly #options: AutoUsersOptions;
  readonly #known = new Map<string, number>();

  constructor(options: AutoUsersOptions) {
    this.#options = options;
  }

  async open(): Promise<void> {
    const { directory } = this.#options;
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await removeAbandoned(directory, (file) => file.startsWith('new-'));
  }

  /** The number of an app, given now if it has none. Throws an Error that says what to do if there is none left. */
  async of(app: string): Promise<number> {
    const id = this.#known.get(app) ?? (await this.#read(app)) ?? (await this.#give(app));
    this.#known.set(app, id);
    return id;
  }

  /** Numbers are given in their order, so that all below the highest are most likely gone. */
  async #give(app: string): Promise<number> {
    const { directory, range } = this.#options;
    const taken = knownIds(readDatabases());
    for (const file of await readdir(directory)) if (/^\d+$/.test(file)) taken.add(Number(file));
    for (let id = range.from; id <= range.to; id += 1) {
      if (!taken.has(id) && (await this.#claim(id, app))) return (await this.#read(app)) ?? this.#lost(app);
    }
    throw new Error(
      `every user from ${range.from} to ${range.to} is given to an app, and none is given twice; widen runtimes.process.users`,
    );
  }

  #lost(app: string): never {
    throw new Error(`the user of app ${app} cannot be read; see ${this.#fileOf(app)}`);
  }

  /** Undefined if the app has none; throws if its file is there and is none of ours. */
  async #read(app: string): Promise<number | undefined> {
    const path = this.#fileOf(app);
    const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
    if (text === undefined) return undefined;
    const id: unknown = (parsed(text) as { id?: unknown } | undefined)?.id;
    if (typeof id === 'number' && Number.isInteger(id) && id > 0) return id;
    throw new Error(`${path} should hold the user of app ${app} and does not; restore it, or remove it for a new user`);
  }

  /**
   * False if the number is given. What the two names lead to is on the disk before them, and both are when this resolves. If another
   * dispatcher gave the app a number meanwhile, that stands.
   */
  async #claim(id: number, app: string): Promise<boolean> {
    const [draft, number] = [this.#path(`new-${randomBytes(6).toString('hex')}`), this.#path(String(id))];
    const file = await open(draft, 'wx', 0o600);
    try {
      await file.writeFile(JSON.stringify({ cmdb: this.#options.cmdbName, app, id }));
      await file.sync();
      if (!(await claimName(draft, number))) return false;
      if (!(await claimName(draft, this.#fileOf(app)))) await rm(number, { force: true });
      await syncDirectory(this.#options.directory);
      return true;
    } finally {
      await file.close();
      await rm(draft, { force: true });
    }
  }

  #fileOf(app: string): string {
    const key = createHash('sha256').update(`${this.#options.cmdbName}\0${app}`).digest('hex').slice(0, 32);
    return this.#path(`app-${key}`);
  }

  #path(file: string): string {
    return join(this.#options.directory, file);
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
