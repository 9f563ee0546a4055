import { resolve } from 'node:path';
import { type InstanceView, instancesOf } from '../admin.js';
import { type BenchDaemon, startDaemon, writeApp } from '../daemon.js';
import { count, ms } from '../figures.js';
import type { Bench, Part, PartResult } from '../part.js';
import { settle } from '../settle.js';
import { median } from '../statistics.js';
import { failuresOf, type RunningLoad, startSteadyLoad, type SteadyResult } from '../steady-load.js';
import { exactly } from '../verdict.js';

/** An app's command changes under load, again and again: no request fails, none waits for a boot. */
export const rollout: Part = { name: 'rollout', about: 'a rolling change of command under load', run };

const name = 'rolled';
const instances = 2;
const perSecond = 200;
/** One request in this many is under way for a while, so that there is something to drain. */
const slowOneIn = 10;
const slowMs = 300;
const limitMs = 60_000;
/** Nothing is replaced before a node has followed its store for the life of a session; the smoke run does not wait for 10 s. */
const shortSession = { ttlMs: 3_000, beatMs: 900, outageGraceMs: 300_000 };

interface Roll extends SteadyResult {
  readonly tookMs: number;
}

async function run({ processes, dir, rounds, smoke, say }: Bench): Promise<PartResult> {
  const http = { keepAliveTimeout: '10m' };
  const options = { processes, dir, apps: [version(0)], main: { http } };
  const daemon = await startDaemon(smoke ? { ...options, timing: { session: shortSession } } : options);
  const first = await settle(() => instancesOf(daemon, name), isWhole, limitMs);
  if (!isWhole(first)) throw new Error(`the app did not get its ${instances} instances`);
  const load = startSteadyLoad({
    port: daemon.port,
    hosts: [`${name}.localhost`],
    perSecond,
    path: (index) => (index % slowOneIn === 0 ? `/slow?ms=${slowMs}` : '/'),
  });
  const rolls: Roll[] = [];
  try {
    for (let round = 1; round <= (rounds ?? (smoke ? 1 : 5)); round += 1) {
      say(`version ${round}`);
      rolls.push(await roll(daemon, dir, round, load));
    }
  } finally {
    await load.stop();
  }
  // What was under way when the last one was complete counts as well.
  const rest = load.take();
  const all = [...rolls, rest];
  const failed = all.reduce((sum, { failures }) => sum + [...failures.values()].reduce((a, b) => a + b, 0), 0);
  const cold = all.reduce((sum, seen) => sum + seen.cold, 0);
  const of = (figure: (seen: Roll) => number) => median(rolls.map(figure));
  return {
    tables: [
      {
        title: 'Rolling change of command under load',
        columns: ['changes', 'requests', 'failed', 'cold answers', 'one change takes', 'p50', 'p99'],
        rows: [
          [
            String(rolls.length),
            count(all.reduce((sum, { requests }) => sum + requests, 0)),
            count(failed),
            count(cold),
            ms(of(({ tookMs }) => tookMs)),
            ms(of(({ p50Ms }) => p50Ms)),
            ms(of(({ p99Ms }) => p99Ms)),
          ],
        ],
        notes: [
          `${instances} instances, ${perSecond} requests/s, one in ${slowOneIn} takes ${slowMs} ms. A change takes from the new file to ` +
            'the end of the last old instance. A cold answer waited for a boot.',
        ],
      },
    ],
    verdicts: [
      exactly('requests that fail during a rolling change', 0, failed, count),
      exactly('cold answers during a rolling change', 0, cold, count),
    ],
    broken: all.filter(({ failures }) => failures.size > 0).map((seen) => `rollout: ${failuresOf(seen)}`),
  };
}

function version(number: number): Record<string, unknown> {
  const command = [process.execPath, resolve('test/fixtures/apps/web.mjs'), `--version=${number}`];
  const scale = { min: instances, max: instances };
  return { name, domains: [`${name}.localhost`], runtime: 'process', command, scale };
}

async function roll(daemon: BenchDaemon, dir: string, number: number, load: RunningLoad): Promise<Roll> {
  const [before] = await instancesOf(daemon, name);
  load.take();
  const from = performance.now();
  writeApp(dir, version(number));
  const isRolled = (seen: readonly InstanceView[]) =>
    isWhole(seen) && seen.every(({ revision }) => revision !== before?.revision);
  const after = await settle(() => instancesOf(daemon, name), isRolled, limitMs);
  const tookMs = performance.now() - from;
  if (!isRolled(after)) {
    const states = after.map(({ state, revision }) => `${state} ${revision}`).join(', ');
    throw new Error(`a changed command was not rolled out within ${limitMs / 1_000} s: ${states}`);
  }
  return { ...load.take(), tookMs };
}

/** As many as there have to be, all of them ready, and none beside them. */
function isWhole(seen: readonly InstanceView[]): boolean {
  return seen.length === instances && seen.every(({ state }) => state === 'ready');
}
