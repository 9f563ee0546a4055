import { setMaxListeners } from 'node:events';
import { parseArgs } from 'node:util';
import { setTimeout as sleep } from 'node:timers/promises';
import { aborts } from './load/aborts.js';
import { eventStreams } from './load/event-streams.js';
import { drive, type Load } from './load/load.js';
import { int, seeded } from './load/random.js';
import { requests } from './load/requests.js';
import { uploads } from './load/uploads.js';
import { webSockets } from './load/web-sockets.js';
import { type DaemonUnderLoad, startDaemon } from './long-run/daemon.js';
import { compareThirds, type Row, rssSlope } from './long-run/flatness.js';
import { Tally } from './long-run/tally.js';
import { instancesOf, processesOf, type VitalSigns, vitalSigns } from './long-run/vital-signs.js';

// A daemon in front of many apps with short lives, so that it boots and ends them all the time, under moderate mixed load.
// What must stay flat is compared between the first and the last third; any failed request, and whatever is left at the
// end, fails the run. `--minutes N` or LONG_RUN_MINUTES; `--seed N` repeats a run's choices.

const { values: flags } = parseArgs({
  options: { minutes: { type: 'string' }, seed: { type: 'string' }, apps: { type: 'string', default: '24' } },
});
const minutes = Number(flags.minutes ?? process.env['LONG_RUN_MINUTES'] ?? 30);
const seed = Number(flags.seed ?? Math.floor(Math.random() * 2 ** 32));
const totalMs = minutes * 60_000;
const intervalMs = Math.min(30_000, Math.max(5_000, totalMs / 30));
const warmUpMs = Math.min(120_000, totalMs / 5);
/** A window of this many apps is in use at a time; it moves on by one every `windowStepMs`. */
const windowSize = 6;
const windowStepMs = 1_000;

const random = seeded(seed);
const tally = new Tally();
const rows: Row[] = [];
const complaints: string[] = [];

const daemon = await startDaemon({ apps: Number(flags.apps), idleTtl: '2s', maxLifetime: '5s' });
try {
  console.log(`long run: ${minutes} min, ${daemon.apps.length} apps, seed ${seed}, log ${daemon.logFile}`);
  const before = await vitalSigns(daemon.child.pid as number, daemon.admin);
  await load(daemon);
  await settle(daemon, before);
} catch (error) {
  complaints.push(error instanceof Error ? error.message : String(error));
} finally {
  const code = await daemon.stop();
  if (code !== 0) complaints.push(`the daemon ended with code ${code}`);
}
const left = processesOf(daemon.run);
if (left.length > 0) complaints.push(`${left.length} processes were left: ${left.join(', ')}`);
for (const pid of left) process.kill(pid, 'SIGKILL');
verdict();
if (complaints.length === 0) await daemon.remove();
process.exitCode = complaints.length === 0 ? 0 : 1;

async function load({ port, apps, child, admin }: DaemonUnderLoad): Promise<void> {
  const stop = new AbortController();
  setMaxListeners(0, stop.signal);
  const from = performance.now();
  const nextApp = () => {
    const first = Math.floor((performance.now() - from) / windowStepMs);
    return apps[(first + int(random, windowSize)) % apps.length] as string;
  };
  const target = { port, nextApp, random };
  const plain = requests();
  const mix: [load: Load, clients: number, pauseMs: number][] = [
    [plain, 8, 40],
    [uploads(), 2, 200],
    [eventStreams(), 4, 200],
    [webSockets(), 4, 200],
    [aborts(), 4, 50],
  ];
  const onOutcome = tally.add.bind(tally);
  const onFailure = tally.fail.bind(tally);
  const driving = mix.map(([kind, clients, pauseMs]) =>
    drive({ load: kind, target, clients, pauseMs, onOutcome, onFailure }, stop.signal),
  );
  child.once('exit', () => stop.abort());
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => stop.abort());
  printHeader();
  while (performance.now() - from < totalMs && !stop.signal.aborted) {
    await sleep(intervalMs, undefined, { signal: stop.signal }).catch(() => {});
    if (child.exitCode !== null || child.signalCode !== null) throw new Error('the daemon ended under load');
    const atMs = performance.now() - from;
    const row = { atS: atMs / 1_000, ...(await vitalSigns(child.pid as number, admin)), ...tally.interval() };
    printRow(row);
    if (atMs > warmUpMs) rows.push(row);
  }
  stop.abort();
  await Promise.all(driving);
  plain.close();
}

/** Without load everything has to come to rest: no request, no waiter, no instance, no connection. */
async function settle({ child, admin }: DaemonUnderLoad, before: VitalSigns): Promise<void> {
  const until = performance.now() + 60_000;
  for (;;) {
    const instances = await instancesOf(admin);
    const now = await vitalSigns(child.pid as number, admin);
    const unrest = [
      ...instances.map(({ id, state, inflight }) => `${id} is ${state} with ${inflight} requests`),
      ...(now.queued > 0 ? [`${now.queued} requests wait`] : []),
      // Two connections may be this program's own, kept by fetch.
      ...(now.sockets > before.sockets + 2 ? [`${now.sockets} sockets, ${before.sockets} at the start`] : []),
      ...(now.boots !== now.terminations ? [`${now.boots} boots, ${now.terminations} terminations`] : []),
    ];
    if (unrest.length === 0) {
      console.log(`at rest: ${now.fds} fds (${before.fds} at the start), ${now.boots} boots, as many terminations`);
      return;
    }
    if (performance.now() > until) return void complaints.push(...unrest.map((what) => `a minute later: ${what}`));
    await sleep(500);
  }
}

function printHeader(): void {
  console.log('   at s  exchanges   boots    ends  RSS MiB   fds  loop ms  warm p50    p99  cold p50    p99  failures');
}

function printRow(row: Row & VitalSigns & ReturnType<Tally['interval']>): void {
  const failed = [...tally.failures.values()].reduce((sum, count) => sum + count, 0);
  const columns: [value: number, width: number, digits?: number][] = [
    ...([
      [row.atS, 7],
      [row.exchanges, 10],
      [row.boots, 7],
      [row.terminations, 7],
    ] as [number, number][]),
    ...([
      [row.rssMiB, 8, 1],
      [row.fds, 5],
      [row.loopMs, 8, 1],
    ] as [number, number, number?][]),
    ...([
      [row.warmP50, 9, 1],
      [row.warmP99, 6, 1],
      [row.coldP50, 9, 1],
      [row.coldP99, 6, 1],
    ] as [number, number, number][]),
    [failed, 9],
  ];
  console.log(columns.map(([value, width, digits = 0]) => value.toFixed(digits).padStart(width)).join(' '));
}

function verdict(): void {
  console.log(`exchanges: ${[...tally.counts].map(([kind, count]) => `${count} ${kind}`).join(', ')}`);
  for (const [message, count] of tally.failures) complaints.push(`${count} × ${message}`);
  if (tally.counts.size === 0) complaints.push('no exchange succeeded');
  // In a few minutes a neighbour on the machine outweighs what a leak would show.
  const comparisons = minutes < 5 ? [] : compareThirds(rows);
  for (const { what, first, last, limit, isFlat } of comparisons) {
    const line = `${what}: first third ${first.toFixed(1)}, last third ${last.toFixed(1)}, limit ${limit.toFixed(1)}`;
    console.log(line);
    if (!isFlat) complaints.push(`not flat: ${line}`);
  }
  if (comparisons.length === 0) console.log('too short a run to compare its thirds');
  else console.log(`RSS slope: ${rssSlope(rows).toFixed(1)} MiB per hour`);
  for (const complaint of complaints) console.log(`FAILED: ${complaint}`);
  console.log(complaints.length === 0 ? 'verdict: flat, nothing failed, nothing left' : 'verdict: FAILED');
}
