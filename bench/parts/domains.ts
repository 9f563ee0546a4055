import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { metric } from '../admin.js';
import { ask } from '../ask.js';
import { type BenchDaemon, startDaemon } from '../daemon.js';
import { fileApp } from '../file-app.js';
import { count, mib, ms, percent, times } from '../figures.js';
import { nodeApp } from '../light-app.js';
import type { Bench, Part, PartResult } from '../part.js';
import { cpuSeconds, memoryOf } from '../process-usage.js';
import { openStore, putSleepingApps, sleepingDomain } from '../sleeping-apps.js';
import { median } from '../statistics.js';
import { startStores, type Store } from '../stores.js';
import type { Table } from '../table.js';
import { atMost, stable, type Verdict } from '../verdict.js';

/** Many domains in the CMDB: what they cost at start, per look-up, in memory, and while nobody asks for them. */
export const domains: Part = { name: 'domains', about: '100,000 domains in the CMDB, 1,000 app files', run };

const few = 10;
const files = 1_000;
const budget = { startMs: 2_000, lookup: 2, bytes: 100 * 1024 ** 2, filesMs: 1_000, idle: 0.005 };

/** What a dispatcher over a store with that many domains was seen to need. */
interface Seen {
  readonly startMs: number;
  /** Of one look-up of a domain in the store. */
  readonly findMs: number;
  /** Of the dispatcher's own look-ups, the waiting in its event loop included. */
  readonly lookupMs: number;
  readonly resident: number;
  readonly anonymous: number;
  /** Processor time while nothing is asked, as a share of a core. */
  readonly idle: number;
}

async function run(bench: Bench): Promise<PartResult> {
  const many = bench.smoke ? 10_000 : 100_000;
  const tables: Table[] = [];
  const verdicts: Verdict[] = [];
  const { stores, missing } = await startStores(bench, 'domains');
  for (const store of stores) {
    const [small, large] = [await measure(bench, store, few), await measure(bench, store, many)];
    tables.push(domainsTable(store.name, many, small, large));
    verdicts.push(...judge(store.name, many, small, large));
  }
  const loading = await loadFiles(bench);
  return { tables: [...tables, loading.table], verdicts: [...verdicts, loading.verdict], missing };
}

async function measure({ processes, smoke, say }: Bench, store: Store, size: number): Promise<Seen> {
  const cmdb = openStore(store.url);
  say(`${store.name}: ${count(size)} domains are written`);
  await putSleepingApps(cmdb, size);
  const findMs = await timeFinds(size, (domain) => cmdb.find({ domain }));
  await cmdb.close();
  const lookups = smoke ? 100 : 500;
  const hub = Array.from({ length: lookups }, (_, index) => `d${index}.hub.localhost`);
  const app = { name: 'hub', domains: hub, runtime: 'process', command: nodeApp().command };
  const daemon = await startDaemon({ processes, dir: store.dir, cmdb: store.url, apps: [app] });
  try {
    const lookupMs = await timeLookups(daemon, hub);
    // Longer than the dispatcher keeps anything that the requests have brought along.
    await sleep(smoke ? 200 : 2_000);
    const { resident, anonymous } = memoryOf(daemon.pid);
    const idle = await idleShare(daemon.pid, smoke);
    return { startMs: daemon.startMs, findMs, lookupMs, resident, anonymous, idle };
  } finally {
    await daemon.stop();
  }
}

/** One look-up of a domain in the store, in milliseconds: the median over domains from all over it. */
async function timeFinds(size: number, find: (domain: string) => Promise<unknown>): Promise<number> {
  const took: number[] = [];
  for (let index = 0; index < 2_000; index += 1) {
    const from = performance.now();
    const found = await find(sleepingDomain(Math.floor(Math.random() * size)));
    took.push(performance.now() - from);
    if (found === undefined) throw new Error('the store does not know a domain that was written');
  }
  return median(took);
}

/** One look-up by the dispatcher, in milliseconds: each domain is asked for the first time. */
async function timeLookups(daemon: BenchDaemon, hosts: readonly string[]): Promise<number> {
  const of = (suffix: string) =>
    metric(daemon, `fastcontainer_cmdb_operation_seconds_${suffix}`, { operation: 'find' });
  await ask(daemon.port, hosts[0] ?? '');
  const before = { sum: await of('sum'), count: await of('count') };
  for (const host of hosts) {
    const { status, body } = await ask(daemon.port, host);
    if (status !== 200) throw new Error(`${host} was answered ${status}: ${body}`);
  }
  return (((await of('sum')) - before.sum) / ((await of('count')) - before.count)) * 1_000;
}

/** The median over some windows: what is cleaned up after the requests falls into one or two of them. */
async function idleShare(pid: number, smoke: boolean): Promise<number> {
  const windowMs = smoke ? 500 : 5_000;
  const shares: number[] = [];
  while (shares.length < (smoke ? 2 : 6)) {
    const [before, from] = [cpuSeconds([pid]), performance.now()];
    await sleep(windowMs);
    shares.push(((cpuSeconds([pid]) - before) * 1_000) / (performance.now() - from));
  }
  return median(shares);
}

function judge(store: string, many: number, small: Seen, large: Seen): Verdict[] {
  const of = (what: string) => `${what}, ${count(many)} domains in ${store}`;
  const lookups = `${of('look-up')}, ÷ that of ${few}`;
  return [
    atMost(of('start'), budget.startMs, large.startMs, ms),
    atMost(lookups, budget.lookup, large.findMs / small.findMs, times),
    stable(atMost(of('RSS growth'), budget.bytes, Math.max(0, large.resident - small.resident), mib)),
    atMost(of('CPU of an idle dispatcher more'), budget.idle, Math.max(0, large.idle - small.idle), percent),
  ];
}

function domainsTable(store: string, many: number, small: Seen, large: Seen): Table {
  const row = (size: number, seen: Seen) => [
    count(size),
    ms(seen.startMs),
    `${(seen.findMs * 1_000).toFixed(0)} µs`,
    `${(seen.lookupMs * 1_000).toFixed(0)} µs`,
    mib(seen.resident),
    mib(seen.anonymous),
    percent(seen.idle),
  ];
  return {
    title: `Domains in ${store}, each of an app that sleeps`,
    columns: [
      'domains',
      'start',
      'look-up in the store',
      'by the dispatcher',
      'RSS',
      'of it without files',
      'idle CPU',
    ],
    rows: [row(few, small), row(many, large)],
    notes: ['Start is that of the whole process. RSS is that after the look-ups. Idle CPU is a share of one core.'],
  };
}

/** What 1,000 app files cost at start, beyond what one costs. */
async function loadFiles({ processes, dir, smoke }: Bench): Promise<{ table: Table; verdict: Verdict }> {
  const rounds = Array.from({ length: smoke ? 1 : 3 }, (_, round) => round);
  const start = async (round: number, size: number) => {
    const apps = Array.from({ length: size }, (_, index) => fileApp(index));
    const options = { processes, dir: join(dir, `files-${size}-${round}`), apps };
    const first = await startDaemon(options);
    await first.stop();
    const again = await startDaemon(options);
    await again.stop();
    return [first.startMs, again.startMs] as const;
  };
  const one: (readonly [number, number])[] = [];
  const thousand: (readonly [number, number])[] = [];
  for (const round of rounds) {
    one.push(await start(round, 1));
    thousand.push(await start(round, files));
  }
  const more = median(thousand.map(([first], round) => first - (one[round]?.[0] ?? Number.NaN)));
  const row = (name: string, seen: typeof one) => [
    name,
    ms(median(seen.map(([first]) => first))),
    ms(median(seen.map(([, again]) => again))),
  ];
  return {
    table: {
      title: 'Starting with app files',
      columns: ['app files', 'first start', 'next start'],
      rows: [row('1', one), row(count(files), thousand)],
    },
    verdict: atMost(`start with ${count(files)} app files, beyond that with one`, budget.filesMs, more, ms),
  };
}
