import { fetchAdmin } from '../../fixtures/admin.js';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import type { Test } from 'tap';
import { allProcesses } from '../../../src/machine/proc-fs.js';
import { install, type Installation, killApps, type Spawned, spawnScript } from '../../fixtures/daemon.js';

export const script = 'dist/test/fixtures/start-workers.js';

/** An installation with two workers; what its apps leave running is killed after the test. */
export async function installWorkers(
  t: Test,
  main: Record<string, unknown> = {},
  apps?: Record<string, Record<string, unknown>>,
): Promise<Installation> {
  const installation = await install(t, { workers: 2, ...main }, apps);
  t.teardown(() => killApps(installation));
  return installation;
}

/** A supervisor with its workers. After the test it is killed, and its workers with it. */
export async function spawnWorkers(t: Test, installation: Installation, ...flags: string[]): Promise<Spawned> {
  const spawned = await spawnScript(t, script, installation.file, ...flags);
  t.teardown(async () => {
    for (const pid of await workersOf(spawned)) process.kill(pid, 'SIGKILL');
  });
  return spawned;
}

/** Pids of the workers that run. */
export async function workersOf({ child }: Spawned): Promise<number[]> {
  const children = (await allProcesses()).filter(({ parent }) => parent === child.pid);
  const lines = await Promise.all(
    children.map(async ({ pid }) => [pid, await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')] as const),
  );
  return lines.filter(([, line]) => line.includes('worker-main.js')).map(([pid]) => pid);
}

/** Ends it with SIGTERM; resolves to its exit code. */
export async function terminate({ child }: Spawned): Promise<number | null> {
  const exited = once(child, 'exit') as Promise<[number | null]>;
  child.kill('SIGTERM');
  return (await exited)[0];
}

/** So many at once. */
export function many<T>(count: number, run: () => Promise<T>): Promise<T[]> {
  return Promise.all(Array.from({ length: count }, run));
}

/** The sum of the lines of /metrics that begin like this. */
export async function metric(admin: string, pattern: RegExp): Promise<number> {
  const text = await (await fetchAdmin(`${admin}/metrics`)).text();
  const lines = text.split('\n').filter((line) => pattern.test(line));
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

export const completed = /^fastcontainer_requests_total\{.*outcome="complete"/;
