import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ProcessRecord } from '../../../src/runtime/kept/records.js';

/** The record of an instance as it lies on the disk. */
export async function readRecord(stateDir: string, id: string): Promise<ProcessRecord> {
  return JSON.parse(await readFile(join(stateDir, 'instances', `${id}.json`), 'utf8')) as ProcessRecord;
}

/** Writes a record as a dispatcher of another time would have. */
export async function writeRecord(stateDir: string, record: ProcessRecord): Promise<void> {
  await mkdir(join(stateDir, 'instances'), { recursive: true });
  await writeFile(join(stateDir, 'instances', `${record.id}.json`), JSON.stringify(record));
}
