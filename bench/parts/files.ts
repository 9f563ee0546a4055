import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ask } from '../ask.js';
import { type BenchDaemon, startDaemon, writeApp, writeDefaults } from '../daemon.js';
import { count, ms } from '../figures.js';
import { fileApp } from '../file-app.js';
import { nodeApp } from '../light-app.js';
import type { Bench, Part, PartResult } from '../part.js';
import { cpuSeconds } from '../process-usage.js';
import { median } from '../statistics.js';
import type { Table } from '../table.js';
import { atMost } from '../verdict.js';

/** Thousands of app files: how long a request waits while a change of them is taken over, and what that costs. */
export const files: Part = { name: 'files', about: '20,000 app files: one changes, and a default of all of them', run };

const few = 10;
const budget = { waitMs: 50, cpuMs: 200 };
const domain = 'hub.localhost';

/** What a change was seen to cost. */
interface Seen {
  /** From the new file to the line that says that it holds, the wait for quiet files included. */
  readonly appliedMs: number;
  /** The longest that a warm request took meanwhile. */
  readonly waitMs: number;
  /** Beyond what the requests cost. */
  readonly cpuMs: number;
}

async function run(bench: Bench): Promise<PartResult> {
  const many = bench.smoke ? 200 : 20_000;
  const rows: (readonly string[])[] = [];
  let large: readonly [one: Seen, all: Seen] | undefined;
  for (const size of [few, many]) {
    large = await measure(bench, size);
    const [one, all] = large;
    rows.push(rowOf(size, 'one file', one), rowOf(size, 'a default', all));
  }
  const [one, all] = large as readonly [Seen, Seen];
  const of = (what: string) => `${what}, ${count(many)} app files`;
  const table: Table = {
    title: 'Changes of app files',
    columns: ['app files', 'changed', 'applied after', 'longest request', 'CPU'],
    rows,
    notes: [
      'The requests go to a warm app of 12 bytes, one after the other with 5 ms between them.',
      'Applied is counted from the new file on, which the dispatcher leaves alone for 100 ms. CPU is the whole process’ beyond that of the requests.',
    ],
  };
  return {
    tables: [table],
    verdicts: [
      atMost(of('longest request while one file changes'), budget.waitMs, one.waitMs, ms),
      atMost(of('CPU of one changed file'), budget.cpuMs, one.cpuMs, ms),
      atMost(of('longest request while a default changes'), budget.waitMs, all.waitMs, ms),
    ],
  };
}

async function measure({ processes, dir, smoke, rounds = smoke ? 1 : 5, say }: Bench, size: number) {
  const home = join(dir, `files-${size}`);
  const hub = { name: 'hub', domains: domain, runtime: 'process', command: nodeApp().command };
  const apps = Array.from({ length: size - 1 }, (_, index) => fileApp(index));
  const daemon = await startDaemon({ processes, dir: home, apps: [hub, ...apps] });
  try {
    await ask(daemon.port, domain);
    say(`${count(size)} app files: started in ${ms(daemon.startMs)}`);
    // After its start it reads all files once more.
    await untilCalm(daemon, 0, smoke);
    const load = await loadOfRequests(daemon, smoke);
    const changes = async (change: (round: number) => void): Promise<Seen> => {
      const seen: Seen[] = [];
      for (let round = 1; round <= rounds; round += 1)
        seen.push(await observe(daemon, { load, smoke, change: () => change(round) }));
      const of = (key: keyof Seen) => seen.map((it) => it[key]);
      return { appliedMs: median(of('appliedMs')), waitMs: Math.max(...of('waitMs')), cpuMs: median(of('cpuMs')) };
    };
    const one = await changes((round) =>
      writeApp(home, { ...fileApp(Math.floor(apps.length / 2)), idleTtl: `${5 + round}m` }),
    );
    const all = await changes((round) => writeDefaults(home, { drainTimeout: `${30 + round}s` }));
    return [one, all] as const;
  } finally {
    await daemon.stop();
  }
}

interface Change {
  /** See loadOfRequests. */
  readonly load: number;
  readonly smoke: boolean;
  readonly change: () => void;
}

async function observe(daemon: BenchDaemon, { load, smoke, change }: Change): Promise<Seen> {
  const done = new AbortController();
  const longest = longestRequest(daemon, done.signal);
  const [before, from] = [cpuSeconds([daemon.pid]), performance.now()];
  const applied = daemon.says('configuration reloaded');
  change();
  await applied;
  const appliedMs = performance.now() - from;
  // Afterwards it looks whether the store has what the files say.
  await untilCalm(daemon, load, smoke);
  const cpuMs = (cpuSeconds([daemon.pid]) - before) * 1_000 - load * (performance.now() - from);
  done.abort();
  return { appliedMs, waitMs: await longest, cpuMs: Math.max(0, cpuMs) };
}

/** In milliseconds, of requests one after the other. */
async function longestRequest(daemon: BenchDaemon, until: AbortSignal): Promise<number> {
  let longest = 0;
  while (!until.aborted) {
    const { status, body, totalMs } = await ask(daemon.port, domain);
    if (status !== 200) throw new Error(`${domain} was answered ${status}: ${body}`);
    longest = Math.max(longest, totalMs);
    await sleep(5);
  }
  return longest;
}

/** The share of a core that the requests of longestRequest take. */
async function loadOfRequests(daemon: BenchDaemon, smoke: boolean): Promise<number> {
  const done = new AbortController();
  const requests = longestRequest(daemon, done.signal);
  await sleep(smoke ? 200 : 2_000);
  const shares: number[] = [];
  while (shares.length < 3) shares.push(await shareOf(daemon, smoke ? 200 : 3_000));
  done.abort();
  await requests;
  return median(shares);
}

async function untilCalm(daemon: BenchDaemon, load: number, smoke: boolean): Promise<void> {
  const limit = performance.now() + 60_000;
  while ((await shareOf(daemon, smoke ? 100 : 500)) > load + 0.1 && performance.now() < limit);
}

/** Processor time of a window, as a share of a core. */
async function shareOf({ pid }: BenchDaemon, windowMs: number): Promise<number> {
  const [before, from] = [cpuSeconds([pid]), performance.now()];
  await sleep(windowMs);
  return ((cpuSeconds([pid]) - before) * 1_000) / (performance.now() - from);
}

function rowOf(size: number, what: string, { appliedMs, waitMs, cpuMs }: Seen): string[] {
  return [count(size), what, ms(appliedMs), ms(waitMs), ms(cpuMs)];
}
