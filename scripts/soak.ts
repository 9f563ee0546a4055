import { setMaxListeners } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { stringify } from 'yaml';
import { aborts } from './load/aborts.js';
import { eventStreams } from './load/event-streams.js';
import { drive, type Load, type Outcome } from './load/load.js';
import { int, pick, seeded } from './load/random.js';
import { requests } from './load/requests.js';
import type { Trace } from './load/trace.js';
import { uploads } from './load/uploads.js';
import { webSockets } from './load/web-sockets.js';
import { adminToken, instancesOf, processesOf } from './long-run/vital-signs.js';
import { soakApps, writeApps } from './soak/apps.js';
import { billedBy, livesIn, wronglyBilled } from './soak/billing.js';
import { census, overfull } from './soak/census.js';
import { SoakDaemon } from './soak/daemon.js';
import { faults as allFaults, strike } from './soak/faults.js';
import { carriersOf, complaintsIn } from './soak/journals.js';
import { judge } from './soak/judge.js';
import type { Kill } from './soak/kills.js';
import { LogWatch } from './soak/log-watch.js';
import { freePorts } from './soak/ports.js';
import { SoakRedis } from './soak/redis.js';
import { Report } from './soak/report.js';

// Two daemons of two workers each over one Redis, in front of apps with short lives, under constant mixed load, while
// containers, workers, daemons and Redis are killed at random. Whatever was lost that nothing killed had carried fails the
// run, and whatever is left at the end. `--minutes N` or SOAK_MINUTES; `--seed N` repeats a run's choices; `--faults` takes
// some of container,worker,daemon,redis,redis-emptied; `--fault-every` seconds; `--keep` leaves logs and data.

const { values: flags } = parseArgs({
  options: {
    minutes: { type: 'string' },
    seed: { type: 'string' },
    'fault-every': { type: 'string', default: '6' },
    faults: { type: 'string', default: allFaults.join(',') },
    keep: { type: 'boolean', default: false },
  },
});
const minutes = Number(flags.minutes ?? process.env['SOAK_MINUTES'] ?? 30);
const seed = Number(flags.seed ?? process.env['SOAK_SEED'] ?? Math.floor(Math.random() * 2 ** 32));
const faults = allFaults.filter((fault) => flags.faults.split(',').includes(fault));
const totalMs = minutes * 60_000;
const intervalMs = Math.min(30_000, Math.max(5_000, totalMs / 20));
/** Longer than anything may wait by the apps' own settings. */
const limitMs = 120_000;
/** Two periods of reconcile, and what comes before it. */
const restMs = 2 * 60_000 + 30_000;
/** A window of this many apps is in use at a time; it moves on by one every `windowStepMs`. */
const windowSize = 5;
const windowStepMs = 2_000;

const dir = await mkdtemp(join(tmpdir(), 'fastcontainer-soak-'));
const { run, journals } = await writeApps(dir, dir.slice(dir.lastIndexOf('-') + 1));
const report = new Report();
const log = new LogWatch();
const kills: Kill[] = [];
const judging: Promise<void>[] = [];
const random = seeded(seed);
const ports = await freePorts(5, random);
const redis = new SoakRedis(ports[4] as number, join(dir, 'redis'));
const daemons = await Promise.all(
  ['a', 'b'].map(async (name, index) => {
    const configFile = join(dir, `${name}.yaml`);
    const [port, adminPort] = ports.slice(2 * index) as [number, number];
    const config = {
      ...{ listen: { http: `127.0.0.1:${port}` }, admin: { listen: `127.0.0.1:${adminPort}`, token: adminToken } },
      ...{
        cmdb: { url: redis.url, signingKey: 'a-key-of-the-soak-which-is-no-secret' },
        stateDir: join(dir, name),
        apps: './apps/*.yaml',
        workers: 2,
      },
      // Both run the processes of one machine. A freed port rests for a minute: there have to be as many as boots in that time.
      runtimes: {
        process: { stateDir: join(dir, 'processes'), scratchDir: join(dir, 'scratch'), ports: '27000-28999' },
      },
    };
    await writeFile(configFile, stringify(config));
    const onFault = (what: string) => report.finding(what);
    return new SoakDaemon({ name, port, configFile, logFile: join(dir, `${name}.log`), onLine: log.onLine, onFault });
  }),
);

try {
  console.log(`soak: ${minutes} min, seed ${seed}, in ${dir}`);
  await redis.start();
  await Promise.all(daemons.map((daemon) => daemon.start()));
  await underFaults();
  await rest();
  await settleBills();
} catch (error) {
  report.finding(error instanceof Error ? (error.stack ?? error.message) : String(error));
} finally {
  await end();
}
for (const complaint of complaintsIn(journals)) report.finding(complaint);
for (const fatal of log.fatal) report.finding(`a daemon said: ${fatal}`);
// Nobody removes an app.
for (const message of log.untrue) report.finding(`a daemon said: ${message}`);
const killed = new Set(kills.flatMap((kill) => (kill.kind === 'container' ? [] : kill.pids)));
for (const { pid, why } of log.ended) if (!killed.has(pid)) report.finding(`worker ${pid} ended by itself: ${why}`);
report.verdict(kills, redis.outages, log.boots);
if (report.isClean && !flags.keep) await rm(dir, { recursive: true, force: true, maxRetries: 5 });
process.exit(report.isClean ? 0 : 1);

async function underFaults(): Promise<void> {
  const stop = new AbortController();
  setMaxListeners(0, stop.signal);
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => stop.abort());
  const from = performance.now();
  const say = (what: string) => console.log(`${((performance.now() - from) / 1_000).toFixed(1).padStart(8)} ${what}`);
  report.onFinding = (what) => say(`FINDING: ${what}`);
  const everyMs = Number(flags['fault-every']) * 1_000;
  const onKill = (kill: Kill) => void kills.push(kill);
  // A stream of its own, so that a seed repeats the faults however the load goes.
  const told = { faults, random: seeded(seed + 1), daemons, redis, run, everyMs, onKill, say };
  const striking = strike(told, stop.signal);
  const plain = requests();
  const driving = load(plain, from, stop.signal);
  const counting = setInterval(() => count(), 500);
  report.header();
  while (performance.now() - from < totalMs && !stop.signal.aborted) {
    await sleep(Math.min(intervalMs, totalMs - (performance.now() - from)), undefined, { signal: stop.signal }).catch(
      () => {},
    );
    report.row((performance.now() - from) / 1_000, {
      boots: log.boots,
      kills: kills.length,
      living: census(run).length,
    });
  }
  stop.abort();
  say('the load ends');
  await Promise.all([driving, striking]);
  await Promise.all(judging);
  clearInterval(counting);
  plain.close();
}

function load(plain: Load, from: number, signal: AbortSignal): Promise<unknown> {
  const nextApp = () => {
    const first = Math.floor((performance.now() - from) / windowStepMs);
    return soakApps[(first + int(random, windowSize)) % soakApps.length]?.name as string;
  };
  const target = {
    // What a load balancer does that looks after its backends.
    get port() {
      const up = daemons.filter(({ isUp }) => isUp);
      return pick(random, up.length > 0 ? up : daemons).port;
    },
    ...{ nextApp, random },
  };
  const mix: [load: Load, clients: number, pauseMs: number][] = [
    [plain, 10, 250],
    [uploads(256 * 1024), 3, 500],
    [eventStreams(), 4, 300],
    [webSockets(), 4, 300],
    [aborts(), 2, 250],
  ];
  const onOutcome = (outcome: Outcome) => report.add(outcome);
  const onFailure = (_kind: string, error: unknown, trace: Trace) => {
    const endedAt = performance.now();
    judging.push(judgeLater(error, trace, endedAt));
  };
  return Promise.all(
    mix.map(([kind, clients, pauseMs]) =>
      drive({ load: kind, target, clients, pauseMs, limitMs, onOutcome, onFailure }, signal),
    ),
  );
}

/** A little later, so that the logs have arrived. */
async function judgeLater(error: unknown, trace: Trace, endedAt: number): Promise<void> {
  await sleep(1_000);
  const carriers = carriersOf(journals, trace.app ?? '', trace.id);
  const { outages } = redis;
  report.judged(trace.kind, judge({ trace, error, endedAt, kills, outages, carriers, ready: log.ready }));
}

function count(): void {
  for (const crowd of overfull(census(run), soakApps)) report.finding(crowd);
}

/** Without load everything has to come to rest: only the instances of `scale.min`, and nothing in flight anywhere. */
async function rest(): Promise<void> {
  const from = performance.now();
  for (;;) {
    const unrest = await whatMoves();
    if (unrest.length === 0) {
      report.rested(performance.now() - from);
      return;
    }
    if (performance.now() - from > restMs) {
      for (const what of unrest) report.finding(`${restMs / 1_000} s after the end of the load: ${what}`);
      return;
    }
    await sleep(1_000);
  }
}

/** What was billed has to be what ran. */
async function settleBills(): Promise<void> {
  const up = daemons.find(({ isUp }) => isUp);
  if (!up) return;
  const last = redis.outages.findLast(({ empty }) => empty);
  const at = (time: number) => performance.timeOrigin + time;
  const emptied = last && { from: at(last.from), until: at(last.until ?? last.from) };
  const billed = await billedBy(up.admin);
  const lives = livesIn(journals);
  for (const what of wronglyBilled(lives, billed, emptied)) report.finding(what);
  const total = [...billed.values()].reduce((sum, ms) => sum + ms, 0);
  console.log(`billed ${(total / 1_000).toFixed(0)} s of ${lives.length} processes`);
}

async function whatMoves(): Promise<string[]> {
  const living = census(run);
  const wrong = soakApps.flatMap(({ name, min }) => {
    const mine = living.filter(({ app }) => app === name);
    return mine.length === min ? [] : [`${mine.length} processes of ${name}, not ${min}: ${JSON.stringify(mine)}`];
  });
  for (const daemon of daemons) {
    if (!daemon.isUp) {
      wrong.push(`daemon ${daemon.name} does not stand again`);
      continue;
    }
    const instances = await instancesOf(daemon.admin).catch((error: Error) => error);
    if (instances instanceof Error) {
      // Right after a fault it may have to connect to the store anew.
      wrong.push(`daemon ${daemon.name}: ${instances.message}`);
      continue;
    }
    const known = instances.map(({ id }) => id).toSorted();
    const real = living.map(({ instance }) => instance).toSorted();
    if (known.join() !== real.join()) wrong.push(`daemon ${daemon.name} knows of ${known.join(', ') || 'none'}`);
    for (const { id, state, inflight } of instances) {
      if (inflight > 0 || state !== 'ready') wrong.push(`${id} is ${state} with ${inflight} requests`);
    }
  }
  return wrong;
}

async function end(): Promise<void> {
  for (const daemon of daemons) {
    const code = await daemon.stop();
    if (code !== 0) report.finding(`daemon ${daemon.name} ended with code ${code} after SIGTERM`);
  }
  await redis.stop();
  const left = processesOf(run);
  if (left.length > 0) report.finding(`${left.length} processes were left: ${left.join(', ')}`);
  for (const pid of left) process.kill(pid, 'SIGKILL');
}
