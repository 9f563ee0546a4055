import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ProcessIdentity } from '../../proc-fs.js';

/** What is kept of an instance so that it is found after a restart. Without `process` it was about to be started. */
export interface ProcessRecord {
  readonly v: 1;
  readonly id: string;
  readonly app: string;
  readonly revision: string;
  readonly cmdb: string;
  readonly port: number;
  readonly process?: ProcessIdentity;
}

/** Ids come from records and listings; as file names they must not lead elsewhere. */
const safeId = /^[a-z0-9][a-z0-9-]{0,127}$/;

/** The records of all instances, a file each, replaced whole. */
export class ProcessRecords {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  async open(): Promise<void> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
  }

  async write(record: ProcessRecord): Promise<void> {
    const path = this.#path(record.id);
    await writeFile(`${path}.new`, JSON.stringify(record), { mode: 0o600 });
    await rename(`${path}.new`, path);
  }

  /** Undefined where there is none or it cannot be read. */
  async read(id: string): Promise<ProcessRecord | undefined> {
    if (!safeId.test(id)) return undefined;
    const text = await readFile(this.#path(id), 'utf8').catch(() => undefined);
    return text === undefined ? undefined : parse(text);
  }

  async remove(id: string): Promise<void> {
    if (safeId.test(id)) await rm(this.#path(id), { force: true });
  }

  async all(): Promise<ProcessRecord[]> {
    const files = await readdir(this.#directory);
    const ids = files.filter((file) => file.endsWith('.json')).map((file) => file.slice(0, -'.json'.length));
    const records = await Promise.all(ids.map((id) => this.read(id)));
    return records.filter((record) => record !== undefined);
  }

  #path(id: string): string {
    if (!safeId.test(id)) throw new Error(`'${id}' is no instance id`);
    return join(this.#directory, `${id}.json`);
  }
}

function parse(text: string): ProcessRecord | undefined {
  try {
    const record = JSON.parse(text) as ProcessRecord;
    const isWhole = record.v === 1 && safeId.test(record.id) && Number.isInteger(record.port);
    return isWhole ? record : undefined;
  } catch {
    return undefined;
  }
}
