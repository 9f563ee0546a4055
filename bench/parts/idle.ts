import { setTimeout as sleep } from 'node:timers/promises';
import { metric } from '../admin.js';
import { type BenchDaemon, startDaemon } from '../daemon.js';
import { count, ms, percent } from '../figures.js';
import type { Bench, Part, PartResult } from '../part.js';
import { cpuSeconds } from '../process-usage.js';
import { openStore, putSleepingApps } from '../sleeping-apps.js';
import { median } from '../statistics.js';
import { perSecond, type StoreLoad, storeLoadOf } from '../store-load.js';
import { startStores, type Store } from '../stores.js';
import type { Table } from '../table.js';
import { atMost, type Verdict } from '../verdict.js';

/** What reaper and reconciler cost while nobody asks for anything: the same with and without sleeping apps. */
export const idle: Part = { name: 'idle', about: 'reaper and reconciler with 100,000 sleeping apps', run };

/** What 100,000 sleeping apps may cost more than none. */
const budget = { share: 0.005, operations: 0.5, passMs: 2 };
/** Judges soon, so that the reconciler compares from the beginning on. */
const session = { ttlMs: 1_000, beatMs: 2_000, outageGraceMs: 300_000 };
const often = { session, reconcilePeriodMs: 100 };
const never = { session, reconcilePeriodMs: 3_600_000 };
const mayJudgeMs = 1_500;

interface Window {
  readonly share: number;
  readonly store: StoreLoad;
  /** Comparisons of the CMDB with the runtimes. */
  readonly passes: number;
  readonly seconds: number;
}

interface Seen {
  readonly share: number;
  readonly operations: number;
  readonly commands: number | undefined;
  readonly passMs: number;
  /** Commands of Redis per comparison. */
  readonly passCommands: number | undefined;
}

async function run(bench: Bench): Promise<PartResult> {
  const many = bench.smoke ? 5_000 : 100_000;
  const { stores, missing } = await startStores(bench, 'idle');
  const tables: Table[] = [];
  const verdicts: Verdict[] = [];
  for (const store of stores) {
    const none = await measure(bench, store);
    bench.say(`${store.name}: ${count(many)} sleeping apps are written`);
    const cmdb = openStore(store.url);
    await putSleepingApps(cmdb, many);
    await cmdb.close();
    const all = await measure(bench, store);
    tables.push(table(store, many, none, all));
    verdicts.push(...judge(store, many, none, all));
  }
  return { tables, verdicts, missing };
}

async function measure({ processes, smoke, rounds, seconds, say }: Bench, store: Store): Promise<Seen> {
  const windowMs = 1_000 * (seconds ?? (smoke ? 1 : 5));
  const watch = async (timing: typeof often) => {
    const daemon = await startDaemon({ processes, dir: store.dir, cmdb: store.url, apps: [], timing });
    await sleep(mayJudgeMs);
    const windows: Window[] = [];
    while (windows.length < (rounds ?? (smoke ? 1 : 5))) windows.push(await look(daemon, store, windowMs));
    await daemon.stop();
    return windows;
  };
  const without = await watch(never);
  const withPasses = await watch(often);
  const of = (windows: readonly Window[], figure: (window: Window) => number) => median(windows.map(figure));
  const share = of(without, (window) => window.share);
  const commands = without[0]?.store.commands === undefined ? undefined : of(without, commandsOf);
  const perPass = (figure: (window: Window) => number) => of(withPasses, (seen) => figure(seen) / seen.passes);
  const passes = withPasses.reduce((sum, seen) => sum + seen.passes, 0);
  if (passes === 0) throw new Error('the reconciler did not compare anything');
  say(`${store.name}: ${count(passes)} comparisons`);
  return {
    share,
    operations: of(without, ({ store: { operations } }) => operations),
    commands,
    passMs: Math.max(
      0,
      perPass((seen) => (seen.share - share) * seen.seconds * 1_000),
    ),
    passCommands: commands === undefined ? undefined : perPass((seen) => (commandsOf(seen) - commands) * seen.seconds),
  };
}

async function look(daemon: BenchDaemon, store: Store, windowMs: number): Promise<Window> {
  const passesOf = () => metric(daemon, 'fastcontainer_runtime_operation_seconds_count', { operation: 'list' });
  const [passes, load] = [await passesOf(), await storeLoadOf(daemon, store, 'begin')];
  const [cpu, from] = [cpuSeconds([daemon.pid]), performance.now()];
  await sleep(windowMs);
  const [spent, seconds] = [cpuSeconds([daemon.pid]) - cpu, (performance.now() - from) / 1_000];
  const after = await storeLoadOf(daemon, store, 'end');
  return {
    share: spent / seconds,
    store: perSecond(load, after, seconds),
    passes: (await passesOf()) - passes,
    seconds,
  };
}

function commandsOf({ store }: Window): number {
  return store.commands ?? Number.NaN;
}

function judge({ name }: Store, many: number, none: Seen, all: Seen): Verdict[] {
  const what = (of: string) => `${of} more, ${count(many)} sleeping apps in ${name}`;
  const more = (figure: (seen: Seen) => number) => Math.max(0, figure(all) - figure(none));
  return [
    atMost(
      what('CPU of an idle dispatcher'),
      budget.share,
      more(({ share }) => share),
      percent,
    ),
    atMost(
      what('CMDB operations/s of an idle dispatcher'),
      budget.operations,
      more(({ operations }) => operations),
      count,
    ),
    atMost(
      what('CPU of a comparison with the runtimes'),
      budget.passMs,
      more(({ passMs }) => passMs),
      ms,
    ),
  ];
}

function table({ name }: Store, many: number, none: Seen, all: Seen): Table {
  const row = (apps: number, seen: Seen) => [
    count(apps),
    `${(seen.share * 1_000).toFixed(1)} ms`,
    seen.operations.toFixed(2),
    ...(seen.commands === undefined ? [] : [seen.commands.toFixed(1)]),
    `${seen.passMs.toFixed(2)} ms`,
    ...(seen.passCommands === undefined ? [] : [seen.passCommands.toFixed(1)]),
  ];
  const isRedis = none.commands !== undefined;
  return {
    title: `A dispatcher that is not asked, over ${name}`,
    columns: [
      'sleeping apps',
      'CPU per second',
      'CMDB operations/s',
      ...(isRedis ? ['Redis commands/s'] : []),
      'CPU per comparison',
      ...(isRedis ? ['Redis commands per comparison'] : []),
    ],
    rows: [row(0, none), row(many, all)],
    notes: [
      'A comparison is one pass of the reconciler. For this they follow each other every 100 ms, in production there is one a ' +
        'minute; their cost is what such a dispatcher uses more than one that compares nothing. CPU is counted in steps of 10 ms.',
    ],
  };
}
