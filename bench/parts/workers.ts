import { mkdirSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { ask } from '../ask.js';
import { type BenchDaemon, startDaemon } from '../daemon.js';
import { times } from '../figures.js';
import { findLoadGenerator, type LoadGenerator } from '../load.js';
import type { LoadResult } from '../load-result.js';
import type { Bench, Part, PartResult } from '../part.js';
import { cpuSeconds, workersOf } from '../process-usage.js';
import { median, pairedRatio } from '../statistics.js';
import type { Table } from '../table.js';
import { fastUpstream } from '../upstream.js';

/** What a second worker process brings and costs: warm requests to one app, nothing pinned to a core. */
export const workers: Part = { name: 'workers', about: 'requests/s and CPU with 1 and 2 workers', run };

const host = 'bench.localhost';
const connections = 64;

interface Run extends LoadResult {
  readonly cpuMicros: number;
}

interface Subject {
  readonly workers: number;
  readonly daemon: BenchDaemon;
  readonly runs: Run[];
}

async function run(bench: Bench): Promise<PartResult> {
  const generator = findLoadGenerator({ apart: false, subject: [], others: [] });
  const rounds = bench.rounds ?? (bench.smoke ? 1 : 5);
  const seconds = bench.seconds ?? (bench.smoke ? 1 : 4);
  const subjects = [await startSubject(bench, 1), await startSubject(bench, 2)];
  for (const subject of subjects) await load(subject, generator, bench.smoke ? 1 : 3);
  for (let round = 1; round <= rounds; round += 1) {
    bench.say(`round ${round} of ${rounds}: ${subjects.length} × ${seconds} s`);
    for (const subject of subjects) subject.runs.push(await load(subject, generator, seconds));
  }
  const missing = generator.name === 'wrk' ? [] : ['workers: wrk; apt-get install --no-install-recommends wrk'];
  return { tables: [table(subjects, notesOf(generator, rounds, seconds))], verdicts: [], missing };
}

async function startSubject({ processes, dir }: Bench, count: number): Promise<Subject> {
  const own = join(dir, `workers-${count}`);
  mkdirSync(own);
  const command = [...fastUpstream(own, []).command];
  const app = { name: 'bench', domains: [host], runtime: 'process', command, idleTtl: '24h' };
  const daemon = await startDaemon({ processes, dir: own, apps: [app], main: { workers: count } });
  const { status, body } = await ask(daemon.port, host);
  if (status !== 200) throw new Error(`the app did not boot: ${status} ${body}`);
  return { workers: count, daemon, runs: [] };
}

async function load({ workers: count, daemon }: Subject, generator: LoadGenerator, seconds: number): Promise<Run> {
  const pids = await workersOf(daemon.pid);
  const before = cpuSeconds(pids);
  const result = await generator.run({ url: `http://127.0.0.1:${daemon.port}/`, host, connections, seconds });
  const spent = cpuSeconds(pids) - before;
  if (result.refused > 0 || result.errors > 0 || result.requests === 0) {
    const { requests, refused, errors } = result;
    throw new Error(`${count} workers: of ${requests} answers ${refused} were not 2xx, ${errors} errors`);
  }
  return { ...result, cpuMicros: (spent / result.requests) * 1e6 };
}

function notesOf({ name }: LoadGenerator, rounds: number, seconds: number): string[] {
  return [
    `${connections} connections of ${name}, 12 bytes, medians of ${rounds} × ${seconds} s. CPU is that of the supervisor and its workers.`,
    `Nothing is pinned: load and upstream share the ${availableParallelism()} cores with the workers, so that requests/s ` +
      'say how much is left for a second worker here, not what it can do on a core of its own.',
  ];
}

function table([one, two]: readonly Subject[], notes: readonly string[]): Table {
  const of = (subject: Subject | undefined, figure: (run: Run) => number) => subject?.runs.map(figure) ?? [];
  const row = (subject: Subject | undefined) => [
    String(subject?.workers),
    median(of(subject, ({ perSecond }) => perSecond)).toFixed(0),
    median(of(subject, ({ cpuMicros }) => cpuMicros)).toFixed(1),
    median(of(subject, ({ p50Ms }) => p50Ms)).toFixed(2),
    median(of(subject, ({ p99Ms }) => p99Ms)).toFixed(2),
  ];
  const ratio = (figure: (run: Run) => number) => times(pairedRatio(of(two, figure), of(one, figure)));
  return {
    title: 'Workers',
    columns: ['workers', 'requests/s', 'CPU µs/request', 'p50 ms', 'p99 ms'],
    rows: [
      row(one),
      row(two),
      [
        '2 ÷ 1',
        ratio(({ perSecond }) => perSecond),
        ratio(({ cpuMicros }) => cpuMicros),
        ratio(({ p50Ms }) => p50Ms),
        ratio(({ p99Ms }) => p99Ms),
      ],
    ],
    notes,
  };
}
