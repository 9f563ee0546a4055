import { setTimeout as sleep } from 'node:timers/promises';
import { beatForOtherHost, putActiveApps } from '../active-apps.js';
import { type BenchDaemon, startDaemon } from '../daemon.js';
import { count, mib, ms } from '../figures.js';
import { accepts, freePort } from '../free-port.js';
import { nodeApp } from '../light-app.js';
import type { Bench, Part, PartResult } from '../part.js';
import { cpuSeconds, memoryOf } from '../process-usage.js';
import { openStore, sleepingDomain } from '../sleeping-apps.js';
import { median } from '../statistics.js';
import { askEach, failuresOf, startSteadyLoad, type SteadyResult } from '../steady-load.js';
import { perSecond as loadPerSecond, type StoreLoad, storeLoadOf } from '../store-load.js';
import { startStores, type Store } from '../stores.js';
import type { Table } from '../table.js';
import { atMost, type Verdict } from '../verdict.js';

/** Steady traffic over many running apps: what it asks of the CMDB must not grow with apps or requests. */
export const active: Part = { name: 'active', about: '10,000 active apps under steady traffic', run };

const few = 100;
const upstreams = 2;
/** Operations per second that 10,000 active apps may cost more than 100: noise, not something per app or request. */
const budget = 1;

interface Window extends SteadyResult {
  readonly store: StoreLoad;
  readonly cpuMicros: number;
}

interface Seen {
  readonly windows: readonly Window[];
  readonly resident: number;
}

async function run(bench: Bench): Promise<PartResult> {
  const many = bench.smoke ? 1_000 : 10_000;
  const rate = bench.smoke ? 300 : 1_000;
  const addresses = await Promise.all(Array.from({ length: upstreams }, () => startUpstream(bench)));
  const { stores, missing } = await startStores(bench, 'active');
  const tables: Table[] = [];
  const verdicts: Verdict[] = [];
  const broken: string[] = [];
  for (const store of stores) {
    const measured = async (apps: number) => {
      const seen = await measure(bench, store, apps, rate, addresses);
      for (const window of seen.windows) if (window.failures.size > 0) broken.push(`active: ${failuresOf(window)}`);
      return seen;
    };
    const [small, large] = [await measured(few), await measured(many)];
    tables.push(table(store, many, rate, small, large));
    const more = operations(large) - operations(small);
    const what = `CMDB operations/s of ${count(many)} active apps in ${store.name} more than of ${few}`;
    verdicts.push(atMost(what, budget, Math.max(0, more), count));
  }
  return { tables, verdicts, missing, broken };
}

async function startUpstream({ processes }: Bench) {
  const port = await freePort();
  const env = { HOST: '127.0.0.1', PORT: String(port) };
  await accepts(port, processes.start('upstream', nodeApp().command, env));
  return { host: '127.0.0.1', port };
}

async function measure(
  { processes, seconds, rounds, smoke, say }: Bench,
  store: Store,
  apps: number,
  rate: number,
  addresses: readonly { readonly host: string; readonly port: number }[],
): Promise<Seen> {
  const cmdb = openStore(store.url);
  say(`${store.name}: ${count(apps)} active apps are written`);
  await putActiveApps(cmdb, apps, addresses);
  const leave = await beatForOtherHost(cmdb);
  const daemon = await startDaemon({ processes, dir: store.dir, cmdb: store.url, apps: [] });
  const hosts = Array.from({ length: apps }, (_, index) => sleepingDomain(index));
  await askEach(daemon.port, hosts);
  const load = startSteadyLoad({ port: daemon.port, hosts, perSecond: rate });
  const windows: Window[] = [];
  try {
    // A node looks for what is due only when it has followed its store for the life of a session.
    await sleep(smoke ? 500 : 11_000);
    while (windows.length < (rounds ?? (smoke ? 1 : 5))) {
      windows.push(await look(daemon, store, load, 1_000 * (seconds ?? (smoke ? 1.5 : 5))));
    }
  } finally {
    await load.stop();
  }
  const { resident } = memoryOf(daemon.pid);
  await daemon.stop();
  await leave();
  await cmdb.close();
  return { windows, resident };
}

/** The scrape walks all instances: it comes before the window, and after it. */
async function look(
  daemon: BenchDaemon,
  store: Store,
  load: { take(): SteadyResult },
  windowMs: number,
): Promise<Window> {
  const before = await storeLoadOf(daemon, store, 'begin');
  load.take();
  const [cpu, from] = [cpuSeconds([daemon.pid]), performance.now()];
  await sleep(windowMs);
  const spent = cpuSeconds([daemon.pid]) - cpu;
  const result = load.take();
  const lasted = (performance.now() - from) / 1_000;
  const after = await storeLoadOf(daemon, store, 'end');
  return { ...result, store: loadPerSecond(before, after, lasted), cpuMicros: (spent / result.requests) * 1e6 };
}

function operations({ windows }: Seen): number {
  return median(windows.map(({ store }) => store.operations));
}

function table({ name }: Store, many: number, rate: number, small: Seen, large: Seen): Table {
  const row = (apps: number, { windows, resident }: Seen) => {
    const of = (figure: (window: Window) => number) => median(windows.map(figure));
    return [
      count(apps),
      count(windows.reduce((sum, { requests }) => sum + requests, 0)),
      count(of(({ store }) => store.operations)),
      ...(name === 'Redis' ? [count(of(({ store }) => store.commands ?? Number.NaN))] : []),
      of(({ cpuMicros }) => cpuMicros).toFixed(0),
      ms(of(({ p50Ms }) => p50Ms)),
      ms(of(({ p99Ms }) => p99Ms)),
      mib(resident),
    ];
  };
  return {
    title: `Active apps in ${name} under ${count(rate)} requests/s`,
    columns: [
      'active apps',
      'requests',
      'CMDB operations/s and node',
      ...(name === 'Redis' ? ['commands/s that Redis ran'] : []),
      'CPU µs/request',
      'p50',
      'p99',
      'RSS',
    ],
    rows: [row(few, small), row(many, large)],
    notes: [
      `Each app has one ready instance in the CMDB, on another host whose session the bench keeps; ${upstreams} real processes ` +
        'answer for all of them. Each app was asked once before; the requests go round over all apps. Medians over windows.',
      'With many apps most requests need a new connection to their instance: idle ones to another host are kept for a second.',
    ],
  };
}
