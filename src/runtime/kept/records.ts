import { randomBytes } from 'node:crypto';
import { access, mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ProcessIdentity } from '../../machine/proc-fs.js';

/** The record by which an instance is found after a restart. Without `process` it was about to be started. */
export interface ProcessRecord {
  readonly v: 1;
  readonly id: string;
  readonly app: string;
  readonly revision: string;
  readonly cmdb: string;
  /** Its installation, as several may have the same `cmdb.name`; absent in old records. */
  readonly installation?: string;
  /** Address at which other machines reach it. */
  readonly host: string;
  readonly port: number;
  /** The dispatcher that started it. */
  readonly booter: ProcessIdentity;
  readonly process?: ProcessIdentity;
  /** Random token in the environment of its processes, known to no others; absent in old records. */
  readonly secret?: string;
  /** The user that it was started as. */
  readonly uid?: number;
  /** Name of the keeper that starts it and reports its exit. */
  readonly keeper?: string;
  /** Directories of its control group; the first one lists its processes. */
  readonly groups?: readonly string[];
  /** Its main process leads into a pid namespace that nothing can leave, so that all its processes descend from it. */
  readonly pidNamespace?: true;
  /** A dispatcher other than the booter that is stopping it, and takes care of all its processes. */
  readonly stopper?: ProcessIdentity;
}

/** Ids come from records and listings, and must be safe as file names. */
const safeId = /^[a-z0-9][a-z0-9-]{0,127}$/;
/** Age from which an unfinished file counts as abandoned by its writer. */
const abandonedMs = 60_000;

const secretPattern = /^[0-9a-f]{32}$/;

export function newSecret(): string {
  return randomBytes(16).toString('hex');
}

export function isSafeId(id: string): boolean {
  return safeId.test(id);
}

/** The records of all instances, each a file that is replaced as a whole. */
export class ProcessRecords {
  readonly #directory: string;
  readonly #onUnreadable: (path: string) => void;

  /** `onUnreadable` is called with the path of each skipped file that is no record of this version. */
  constructor(directory: string, onUnreadable: (path: string) => void) {
    this.#directory = directory;
    this.#onUnreadable = onUnreadable;
  }

  async open(): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    await removeAbandoned(this.#directory, (file) => file.endsWith('.new'));
  }

  async write(record: ProcessRecord): Promise<void> {
    const path = this.#path(record.id);
    const written = `${path}.${randomBytes(4).toString('hex')}.new`;
    await writeFile(written, JSON.stringify(record), { mode: 0o600 });
    await rename(written, path);
  }

  /** Undefined if there is no record or it cannot be read. */
  async read(id: string): Promise<ProcessRecord | undefined> {
    if (!safeId.test(id)) return undefined;
    const text = await readFile(this.#path(id), 'utf8').catch(() => undefined);
    if (text === undefined) return undefined;
    const record = parse(text, id);
    if (!record) this.#onUnreadable(this.#path(id));
    return record;
  }

  /** Whether there is a record, readable or not. */
  has(id: string): Promise<boolean> {
    return access(this.#path(id)).then(
      () => true,
      () => false,
    );
  }

  async remove(id: string): Promise<void> {
    if (safeId.test(id)) await rm(this.#path(id), { force: true });
  }

  /** Ids of all records, readable or not. */
  async ids(): Promise<string[]> {
    const files = await readdir(this.#directory);
    return files.filter((file) => file.endsWith('.json')).map((file) => file.slice(0, -'.json'.length));
  }

  async all(): Promise<ProcessRecord[]> {
    const records = await Promise.all((await this.ids()).map((id) => this.read(id)));
    return records.filter((record) => record !== undefined);
  }

  #path(id: string): string {
    if (!safeId.test(id))
      throw new Error(`'${id}' is not an instance id, which has only lower-case letters, digits and '-'`);
    return join(this.#directory, `${id}.json`);
  }
}

/** Removes unfinished files that killed processes left. */
export async function removeAbandoned(directory: string, isTemporary: (file: string) => boolean): Promise<void> {
  for (const file of (await readdir(directory)).filter(isTemporary)) {
    const path = join(directory, file);
    const written = await stat(path).catch(() => undefined);
    if (written && Math.abs(Date.now() - written.mtimeMs) > abandonedMs) await rm(path, { force: true });
  }
}

function parse(text: string, id: string): ProcessRecord | undefined {
  try {
    const record = JSON.parse(text) as ProcessRecord;
    const isWhole =
      record.v === 1 &&
      record.id === id &&
      [record.app, record.revision, record.cmdb, record.host].every((field) => typeof field === 'string') &&
      Number.isInteger(record.port) &&
      (record.secret === undefined || (typeof record.secret === 'string' && secretPattern.test(record.secret))) &&
      (record.uid === undefined || Number.isInteger(record.uid)) &&
      (record.groups === undefined || (Array.isArray(record.groups) && record.groups.every(isPath))) &&
      (record.pidNamespace === undefined || record.pidNamespace) &&
      isIdentity(record.booter) &&
      (record.keeper === undefined || typeof record.keeper === 'string') &&
      (record.installation === undefined || typeof record.installation === 'string') &&
      [record.process, record.stopper].every((identity) => identity === undefined || isIdentity(identity));
    return isWhole ? record : undefined;
  } catch {
    return undefined;
  }
}

function isPath(value: unknown): boolean {
  return typeof value === 'string' && value.startsWith('/') && !value.split('/').includes('..');
}

/** With a pid of 0 or 1, a signal to the group would reach other processes. */
function isIdentity({ pid, startTime, bootId }: ProcessIdentity): boolean {
  return Number.isInteger(pid) && pid > 1 && typeof startTime === 'string' && typeof bootId === 'string';
}
