import { mkdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { stringify } from 'yaml';

/** What is promised of an app under the soak. */
export interface SoakApp {
  readonly name: string;
  readonly min: number;
  readonly max: number;
  readonly overlap: boolean;
}

/** A WebSocket on which nothing flows for so long is closed with 1001 when its instance drains. */
export const idleTtlMs = 2_000;
/** Short lives, so that every app boots, circulates and ends all the time. */
const lives = { idleTtl: `${idleTtlMs}ms`, maxLifetime: '12s', drainTimeout: '60s', stopTimeout: '5s' };
/** A busy machine may be slow; what is looked for is what is lost. */
const patience = { bootTimeout: '30s', queue: { timeout: '60s' } };

const kinds: readonly (SoakApp & { readonly settings: Record<string, unknown> })[] = [
  ...[1, 2, 3, 4].map((number) => ({ name: `plain${number}`, min: 0, max: 1, overlap: true, settings: {} })),
  ...[1, 2].map((number) => ({
    ...{ name: `wide${number}`, min: 0, max: 3, overlap: true },
    settings: { concurrency: { target: 2, max: 6 } },
  })),
  { name: 'alone', min: 0, max: 1, overlap: false, settings: { overlap: false } },
  { name: 'kept', min: 1, max: 2, overlap: true, settings: { concurrency: { target: 4, max: 8 } } },
];

export const soakApps: readonly SoakApp[] = kinds;

export interface WrittenApps {
  /** Names the run on the command line of each of its apps. */
  readonly run: string;
  /** Where each instance notes which requests reached it. */
  readonly journals: string;
}

/** Writes the app files that both daemons read. */
export async function writeApps(dir: string, run: string): Promise<WrittenApps> {
  const journals = join(dir, 'journals');
  await Promise.all([mkdir(join(dir, 'apps')), mkdir(journals)]);
  // Under root an app has to name a user; these write into a directory of this script.
  const user = process.getuid?.() === 0 ? 'root' : 'auto';
  const command = [process.execPath, resolve(import.meta.dirname, '../load/app.js'), run];
  await Promise.all(
    kinds.map(({ name, min, max, overlap, settings }) => {
      const env = { JOURNAL: journals, ...(overlap ? {} : { ALONE: `${run}-${name}` }) };
      const app = { name, domains: [`${name}.localhost`], runtime: 'process', user, command, env, scale: { min, max } };
      return writeFile(join(dir, 'apps', `${name}.yaml`), stringify({ ...app, ...lives, ...patience, ...settings }));
    }),
  );
  return { run, journals };
}
