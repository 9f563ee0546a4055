import { setTimeout as sleep } from 'node:timers/promises';
import { int, pick, type Random } from '../load/random.js';
import { census } from './census.js';
import type { SoakDaemon } from './daemon.js';
import type { Kill } from './kills.js';
import type { SoakRedis } from './redis.js';

export const faults = ['container', 'worker', 'daemon', 'redis', 'redis-emptied'] as const;
export type Fault = (typeof faults)[number];

export interface FaultsOptions {
  readonly faults: readonly Fault[];
  readonly random: Random;
  readonly daemons: readonly SoakDaemon[];
  readonly redis: SoakRedis;
  /** Names the run on the command line of its apps. */
  readonly run: string;
  /** Between two faults on average, in milliseconds. */
  readonly everyMs: number;
  readonly onKill: (kill: Kill) => void;
  readonly say: (what: string) => void;
}

/** What a round holds of each, in an order of its own: whatever the seed, each kind comes, the mild ones more often. */
const perRound: Record<Fault, number> = { container: 4, worker: 2, daemon: 1, redis: 1, 'redis-emptied': 1 };
const longestOutageMs = 6_000;

/** Kills at random moments until the signal comes. What it killed stands again, or is about to, when it resolves. */
export async function strike(options: FaultsOptions, signal: AbortSignal): Promise<void> {
  const { random, everyMs } = options;
  const underWay = new Set<Promise<void>>();
  const round = options.faults.flatMap((fault) => Array.from({ length: perRound[fault] }, () => fault));
  let bag: Fault[] = [];
  while (!signal.aborted) {
    await sleep((0.3 + 1.4 * random()) * everyMs, undefined, { signal }).catch(() => {});
    if (signal.aborted) break;
    if (bag.length === 0) bag = [...round];
    const [fault] = bag.splice(int(random, bag.length), 1) as [Fault];
    const striking = one(fault, options).finally(() => underWay.delete(striking));
    underWay.add(striking);
  }
  await Promise.all(underWay);
}

async function one(fault: Fault, options: FaultsOptions): Promise<void> {
  const { random, daemons, onKill, say } = options;
  if (fault === 'redis' || fault === 'redis-emptied') return killRedis(fault === 'redis-emptied', options);
  if (fault === 'container') return killContainer(options);
  const up = daemons.filter(({ isUp }) => isUp);
  // Clients have somewhere to go as long as one of them stands.
  if (up.length === 0 || (fault === 'daemon' && up.length < 2)) return;
  const daemon = pick(random, up);
  const all = random() < 0.25;
  const choose = (workers: readonly number[]) => (all || workers.length === 0 ? workers : [pick(random, workers)]);
  const kill = fault === 'daemon' ? daemon.kill() : daemon.killWorkers(choose);
  if (!kill) return;
  onKill(kill);
  say(`kill -9 of ${fault === 'daemon' ? 'all of' : all ? 'all workers of' : 'a worker of'} daemon ${daemon.name}`);
}

function killContainer({ random, run, onKill, say }: FaultsOptions): Promise<void> {
  const living = census(run);
  if (living.length > 0) {
    const { pid, app, instance } = pick(random, living);
    onKill({ kind: 'container', at: performance.now(), app, instance });
    try {
      process.kill(pid, 'SIGKILL');
      say(`kill -9 of ${instance}`);
    } catch {
      // It ended in this very moment by itself.
    }
  }
  return Promise.resolve();
}

async function killRedis(empty: boolean, { random, redis, say }: FaultsOptions): Promise<void> {
  if (!redis.isUp) return;
  const awayMs = random() * longestOutageMs;
  await redis.kill(empty);
  say(`kill -9 of Redis, back in ${(awayMs / 1_000).toFixed(1)} s${empty ? ', empty' : ' with its data'}`);
  await sleep(awayMs);
  await redis.start();
}
