import { join } from 'node:path';
import { instancesOf } from '../admin.js';
import { ask } from '../ask.js';
import { type Cores, findCores } from '../cores.js';
import { type BenchDaemon, startDaemon } from '../daemon.js';
import { percent, times } from '../figures.js';
import { findLoadGenerator, type LoadGenerator } from '../load.js';
import type { LoadResult } from '../load-result.js';
import type { Bench, Part, PartResult } from '../part.js';
import { cpuSeconds, workersOf } from '../process-usage.js';
import { findProgram } from '../programs-on-path.js';
import { caddyRelay } from '../relays/caddy.js';
import { haproxyRelay } from '../relays/haproxy.js';
import { nginxRelay } from '../relays/nginx.js';
import { httpProxyRelay, undiciRelay } from '../relays/node.js';
import type { Relay } from '../relays/relay.js';
import { median, pairedInterval, pairedRatio, spread } from '../statistics.js';
import type { Table } from '../table.js';
import { fastUpstream } from '../upstream.js';
import { atMost, type Verdict } from '../verdict.js';

/**
 * Warm requests through the dispatcher and through its peers, all in front of the same upstream, each measured on a core
 * of its own. What counts is the processor time of the relay's own processes per request.
 */
export const warm: Part = {
  name: 'warm',
  about: 'requests to a running app, beside other relays',
  run,
};

const host = 'bench.localhost';
const connections = 64;
const own = 'fastcontainer';
const other = 'fastcontainer, the other checkout';
const again = 'node:http + undici dispatch, again';
const relays: readonly Relay[] = [httpProxyRelay, undiciRelay, nginxRelay, haproxyRelay, caddyRelay];
/** Most that fastcontainer may cost per request, as a multiple of what these cost. */
const budgets = new Map([
  [httpProxyRelay.name, 0.65],
  [undiciRelay.name, 1.15],
  [nginxRelay.name, 2.5],
]);

interface Run extends LoadResult {
  readonly cpuMicros: number;
}

interface Subject {
  readonly name: string;
  readonly pid: number;
  readonly url: string;
  readonly runs: Run[];
}

async function run(bench: Bench): Promise<PartResult> {
  const cores = findCores();
  const generator = findLoadGenerator(cores);
  const rounds = bench.rounds ?? (bench.smoke ? 1 : 5);
  const seconds = bench.seconds ?? (bench.smoke ? 1 : 4);
  const upstream = fastUpstream(bench.dir, cores.others);
  const { subjects, missing } = await startSubjects(bench, cores, upstream.command);
  const warmUp = bench.smoke ? 1 : 3;
  for (const subject of subjects) await load(subject, generator, warmUp);
  for (let round = 1; round <= rounds; round += 1) {
    bench.say(`round ${round} of ${rounds}: ${subjects.length} × ${seconds} s`);
    for (const subject of subjects) subject.runs.push(await load(subject, generator, seconds));
  }
  const apart = spread(cpu(subjects, undiciRelay.name), cpu(subjects, again));
  const notes = [
    `${connections} connections of ${generator.name}, 12 bytes from ${upstream.name}, medians of ${rounds} × ${seconds} s, ` +
      (cores.apart
        ? 'the relay on one core, load and upstream on another.'
        : 'nothing pinned: only CPU per request counts.'),
    'A ratio is the median of the rounds’; in brackets its interval with a confidence of 95 % (of fewer than six rounds: all).',
    `The same relay measured twice in a round differs by ${percent(apart.middle)}, in the worst round by ${percent(apart.worst)}.`,
  ];
  const programs = missing.map(({ needs }) => needs?.package ?? '');
  if (generator.name !== 'wrk') programs.unshift('wrk');
  const hint = `apt-get install --no-install-recommends ${programs.join(' ')}`;
  return {
    tables: [table(subjects, notes)],
    verdicts: verdicts(subjects),
    missing: programs.length === 0 ? [] : [`warm: without ${programs.join(', ')}; ${hint}`],
  };
}

async function startSubjects(bench: Bench, { subject, others }: Cores, command: readonly string[]) {
  const app = { name: 'bench', domains: [host], runtime: 'process', command: [...command], idleTtl: '24h' };
  const { processes, dir, against } = bench;
  const daemon = await startDaemon({ processes, dir, apps: [app], pinned: subject });
  const upstreamPort = await wake(daemon);
  const missing = relays.filter(({ needs }) => needs && findProgram(needs.program) === undefined);
  const found = relays.filter((relay) => !missing.includes(relay));
  const subjects = [subjectOf(own, daemon)];
  if (against) {
    const started = await against({ processes, dir: join(dir, 'against'), apps: [app], pinned: subject });
    await wake(started);
    subjects.push(subjectOf(other, started));
  }
  // The same relay twice, far apart in the round, tells how much of a difference is the machine's.
  for (const relay of [...found, { ...undiciRelay, name: again }]) {
    subjects.push(subjectOf(relay.name, await relay.start({ processes, dir, pinned: subject, upstreamPort })));
  }
  if (others.length === 0) bench.say('there is one core, or no taskset: nothing is pinned');
  return { subjects, missing };
}

/** Boots the app, which is the upstream of all relays. */
async function wake(daemon: BenchDaemon): Promise<number> {
  const { status, body } = await ask(daemon.port, host);
  if (status !== 200) throw new Error(`the app did not boot: ${status} ${body}`);
  const [instance] = await instancesOf(daemon, 'bench');
  return Number(instance?.address.split(':').at(-1));
}

function subjectOf(name: string, { pid, port }: { pid: number; port: number }): Subject {
  return { name, pid, url: `http://127.0.0.1:${port}/`, runs: [] };
}

async function load({ name, pid, url }: Subject, generator: LoadGenerator, seconds: number): Promise<Run> {
  const pids = await workersOf(pid);
  const before = cpuSeconds(pids);
  const result = await generator.run({ url, host, connections, seconds });
  const spent = cpuSeconds(pids) - before;
  if (result.refused > 0 || result.errors > 0 || result.requests === 0) {
    throw new Error(`${name}: of ${result.requests} answers ${result.refused} were not 2xx, ${result.errors} errors`);
  }
  return { ...result, cpuMicros: (spent / result.requests) * 1e6 };
}

function cpu(subjects: readonly Subject[], name: string): number[] {
  return subjects.find((subject) => subject.name === name)?.runs.map(({ cpuMicros }) => cpuMicros) ?? [];
}

function table(subjects: readonly Subject[], notes: readonly string[]): Table {
  const figure = ({ runs }: Subject, of: (run: Run) => number) => median(runs.map(of));
  return {
    title: 'Warm requests',
    columns: ['relay', 'CPU µs/request', 'requests/s', 'p50 ms', 'p99 ms', 'fastcontainer ÷ it'],
    rows: subjects.map((subject) => [
      subject.name,
      figure(subject, ({ cpuMicros }) => cpuMicros).toFixed(1),
      figure(subject, ({ perSecond }) => perSecond).toFixed(0),
      figure(subject, ({ p50Ms }) => p50Ms).toFixed(2),
      figure(subject, ({ p99Ms }) => p99Ms).toFixed(2),
      subject.name === own ? '' : ratio(cpu(subjects, own), cpu(subjects, subject.name)),
    ]),
    notes,
  };
}

function ratio(costs: readonly number[], others: readonly number[]): string {
  const [low, high] = pairedInterval(costs, others).map((value) => value.toFixed(2));
  return `${times(pairedRatio(costs, others))} (${low} … ${high})`;
}

function verdicts(subjects: readonly Subject[]): Verdict[] {
  return [...budgets].map(([name, budget]) =>
    atMost(`CPU per warm request ÷ ${name}`, budget, pairedRatio(cpu(subjects, own), cpu(subjects, name)), times),
  );
}
