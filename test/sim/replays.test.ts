import t from 'tap';
import { runHistory } from './history.js';
import type { Action, AppPlan, Script } from './script.js';

const app: AppPlan = { max: 1, concurrency: 100, idleTtlMs: 20_000, maxLifetimeMs: 600_000 };
const node = { host: 'a', wallErrorMs: 0, bootSlots: 4 };
const request = { do: 'request', node: 0, app: 0, kind: 'http', holdMs: 0 } as const;

interface Replay extends Omit<Script, 'seed'> {
  readonly was: string;
  /** Orders beyond the usual ones in which it broke: of some findings few do. */
  readonly also?: readonly number[];
}

/** Scripts that broke a guarantee once, each cut down by the simulator. They are lived through in many orders. */
const replays: readonly Replay[] = [
  {
    was: 'a recheck for people who waited at an object that was let go booted an instance that nobody here knew',
    nodes: [node],
    apps: [{ ...app, max: 2, concurrency: 1, idleTtlMs: 6_000 }],
    actions: [
      { ...request, at: 0, kind: 'upgrade' },
      { at: 1_000, do: 'crash', app: 0 },
      { at: 1_000, do: 'herd', app: 0, size: 2, holdMs: 3_000 },
    ],
  },
  {
    was: 'a late retry registered a use that had been released meanwhile, and its instance drained for ever',
    nodes: [node, node],
    apps: [{ ...app, max: 3, concurrency: 2, idleTtlMs: 2_000, maxLifetimeMs: 8_000 }],
    actions: [
      { ...request, at: 47_000, node: 1, kind: 'upgrade', holdMs: 12_000 },
      { at: 48_000, do: 'store frozen', forMs: 13_000 },
      { ...request, at: 60_000 },
    ],
  },
  {
    was: 'a use was registered under a new name before the session of that name, and the others dropped it',
    nodes: [node, node],
    apps: [{ ...app, maxLifetimeMs: 12_000 }],
    actions: [
      { ...request, at: 2_000 },
      { at: 4_000, do: 'store slow', forMs: 8_000, byMs: 900 },
      { at: 9_000, do: 'store restarted', empty: false },
      { at: 10_000, do: 'new revision', app: 0 },
      { ...request, at: 11_000, node: 1, holdMs: 12_000 },
      { ...request, at: 11_000 },
      { ...request, at: 15_000 },
    ],
  },
  {
    was: 'after two failovers an old name of a node that lives on held an instance for ever',
    nodes: [node],
    apps: [{ ...app, max: 2, concurrency: 2 }],
    actions: [
      { ...request, at: 2_000 },
      { at: 2_000, do: 'store restarted', empty: false },
      { at: 2_500, do: 'store failover', lagMs: 1_000 },
    ],
  },
  {
    was: 'a node frozen over a failover left its old name among the users',
    nodes: [node],
    apps: [{ ...app, max: 3, idleTtlMs: 6_000 }],
    actions: [
      { ...request, at: 1_000 },
      { at: 2_000, do: 'freeze', node: 0, forMs: 50_000 },
      { at: 14_000, do: 'store failover', lagMs: 100 },
    ],
  },
  {
    was: 'a request that recovered from a crash waited at an object that heard of nothing any more',
    nodes: [node, { ...node, bootSlots: 1 }, { ...node, bootSlots: 1 }],
    apps: [{ ...app, concurrency: 1, idleTtlMs: 6_000, maxLifetimeMs: 8_000 }],
    actions: [
      { ...request, at: 0, node: 1 },
      { ...request, at: 300, node: 2 },
      { at: 600, do: 'new revision', app: 0 },
      { at: 1_000, do: 'freeze', node: 1, forMs: 3_000 },
      { ...request, at: 2_000 },
      { at: 2_000, do: 'crash', app: 0 },
      { ...request, at: 3_000, node: 1 },
    ],
  },
  {
    was: 'the retried release of a use took the next one of the same instance away',
    nodes: [
      { ...node, bootSlots: 1 },
      { ...node, bootSlots: 1 },
    ],
    apps: [{ ...app, max: 3, maxLifetimeMs: 30_000 }],
    actions: [
      { ...request, at: 21_000 },
      { at: 25_000, do: 'herd', app: 0, size: 1, holdMs: 0 },
      { ...request, at: 28_000, node: 1, kind: 'upgrade' },
      { at: 33_000, do: 'store lossy', forMs: 50_000, probability: 0.5 },
      { at: 54_000, do: 'herd', app: 0, size: 2, holdMs: 12_000 },
    ],
  },
  {
    was: 'a registration whose answer was lost held an instance for ever',
    nodes: [node, node],
    apps: [{ ...app, idleTtlMs: 2_000 }, app],
    actions: [
      { ...request, at: 4_000, node: 1, app: 1 },
      { at: 11_500, do: 'store lossy', forMs: 8_000, probability: 0.2 },
      { ...request, at: 13_300, app: 1, kind: 'upgrade' },
      { at: 14_000, do: 'new revision', app: 1 },
    ],
  },
  {
    was: 'a use that was given up while a renewal registered it held an instance for ever',
    nodes: [node],
    apps: [app, { ...app, max: 3, concurrency: 2, maxLifetimeMs: 12_000 }],
    actions: [
      { ...request, at: 1_000, app: 1 },
      { at: 1_000, do: 'herd', app: 1, size: 1, holdMs: 0 },
      { at: 2_000, do: 'store lossy', forMs: 13_000, probability: 0.5 },
      { at: 8_000, do: 'store restarted', empty: true },
      { at: 10_000, do: 'herd', app: 1, size: 1, holdMs: 0 },
      { at: 11_000, do: 'new revision', app: 1 },
    ],
  },
  {
    was: 'a domain that an emptied store did not know stayed unknown when a replica with it took over',
    nodes: [node],
    apps: [{ ...app, max: 2, idleTtlMs: 6_000 }],
    actions: [
      { at: 1_000, do: 'store failover', lagMs: 1_000 },
      { at: 1_000, do: 'store restarted', empty: true },
      { ...request, at: 1_000 },
    ],
  },
  {
    was: 'a container that never listened was adopted and asked for ever',
    nodes: [node],
    apps: [
      { ...app, max: 3, concurrency: 1, idleTtlMs: 6_000, maxLifetimeMs: 12_000 },
      { ...app, max: 3, concurrency: 1, idleTtlMs: 6_000 },
    ],
    actions: [
      { at: 0, do: 'boot', host: 'a', plan: { kind: 'good', createMs: 223, listenMs: 600_000 } },
      { at: 1_000, do: 'store failover', lagMs: 5_000 },
      { at: 1_000, do: 'herd', app: 1, size: 1, holdMs: 0 },
      { at: 1_400, do: 'herd', app: 0, size: 1, holdMs: 0 },
    ],
  },
  {
    was: "a node behind a partition goes on with an instance whose exit it has seen, until its address is another app's",
    nodes: [node, node],
    apps: [app, app],
    actions: [
      { ...request, at: 0 },
      { at: 3_000, do: 'partition', node: 0, forMs: 100_000, reset: false },
      { at: 4_000, do: 'crash', app: 0 },
      ...addressesAreUsedUp(66_000),
      // Whoever sends something now and then keeps what it uses.
      ...Array.from({ length: 18 }, (_, index) => ({ ...request, at: 5_000 * (index + 1) })),
    ],
  },
  {
    was: 'a termination that failed once was not tried again, for nodes of another machine always came first to the schedule',
    nodes: [
      { ...node, host: 'b', bootSlots: 1 },
      { ...node, host: 'a', wallErrorMs: -700, bootSlots: 1 },
    ],
    apps: [{ ...app, concurrency: 1, idleTtlMs: 2_000, maxLifetimeMs: 12_000 }],
    actions: [
      { ...request, at: 0, node: 1 },
      { at: 400, do: 'engine down', host: 'a', forMs: 50_000 },
      { at: 2_000, do: 'partition', node: 1, forMs: 200, reset: true },
    ],
  },
  {
    was: 'nodes of another machine always came first to the schedule, and an instance that only its own may end drained on',
    nodes: [
      { ...node, host: 'b', wallErrorMs: 700 },
      { ...node, host: 'b' },
      { ...node, host: 'a' },
    ],
    apps: [
      { ...app, concurrency: 2, idleTtlMs: 6_000, maxLifetimeMs: 30_000 },
      { ...app, min: 1, overlap: false, concurrency: 1, idleTtlMs: 2_000 },
    ],
    actions: [
      { ...request, at: 52_000, node: 2 },
      { ...request, at: 57_000, app: 1, holdMs: 12_000 },
    ],
  },
  {
    was: 'a boot whose success was written and told of too late was drained meanwhile, and its booter never let go of it',
    nodes: [node, { ...node, wallErrorMs: -700 }],
    apps: [
      { ...app, min: 1, overlap: false, maxLifetimeMs: 30_000 },
      { ...app, idleTtlMs: 2_000, maxLifetimeMs: 30_000 },
    ],
    actions: [
      { at: 1_000, do: 'store lossy', forMs: 8_000, probability: 0.2 },
      { at: 4_000, do: 'step clock', node: 0, byMs: -3_000 },
      { ...request, at: 5_500, node: 1, app: 1, patienceMs: 765 },
      { ...request, at: 7_000, node: 1 },
      { at: 8_000, do: 'new revision', app: 1 },
      { at: 9_000, do: 'crash', app: 0 },
    ],
  },
  {
    was: 'a node that was frozen wrote the claim of its boot anew, though another one had been booted in its stead',
    also: [140],
    nodes: [
      { host: 'b', wallErrorMs: 0, bootSlots: 1 },
      { host: 'a', wallErrorMs: 700, bootSlots: 1 },
      { host: 'b', wallErrorMs: 0, bootSlots: 1 },
    ],
    apps: [
      { ...app, concurrency: 1, idleTtlMs: 2_000 },
      { ...app, concurrency: 2, idleTtlMs: 2_000, maxLifetimeMs: 30_000 },
    ],
    actions: [
      { at: 0, do: 'step clock', node: 0, byMs: 3_000 },
      { ...request, at: 42, node: 1 },
      { at: 914, do: 'freeze', node: 1, forMs: 13_000 },
      { at: 1_000, do: 'herd', app: 1, size: 2, holdMs: 0 },
      { at: 1_000, do: 'engine slow', host: 'b', forMs: 50_000, byMs: 5_000 },
      { at: 1_000, do: 'store restarted', empty: false },
      { ...request, at: 4_000, app: 1 },
      { ...request, at: 5_600, node: 2, app: 1 },
      { ...request, at: 6_000 },
      { at: 6_000, do: 'crash', app: 0 },
      { at: 6_000, do: 'herd', app: 1, size: 3, holdMs: 0 },
      { ...request, at: 8_000, node: 1, app: 1, kind: 'upgrade' },
      { at: 12_000, do: 'new revision', app: 0 },
      { ...request, at: 13_000, node: 1 },
      { ...request, at: 13_000 },
      { at: 14_000, do: 'engine slow', host: 'b', forMs: 50_000, byMs: 5_000 },
      { ...request, at: 15_000, node: 1, app: 1 },
    ],
  },
  {
    was: 'a boot whose success was written, and which was given up as nobody said so, was held for ever',
    also: [30, 49, 66, 99, 115],
    nodes: [
      { ...node, wallErrorMs: 700, bootSlots: 1 },
      { ...node, wallErrorMs: 700, bootSlots: 1 },
    ],
    apps: [{ ...app, max: 3, concurrency: 2 }],
    actions: [
      { ...request, at: 5_000, node: 1, patienceMs: 1_074 },
      { ...request, at: 5_000, node: 1 },
      { at: 6_000, do: 'store lossy', forMs: 50_000, probability: 0.5 },
      { ...request, at: 14_000, node: 1 },
      { ...request, at: 26_000, node: 1, kind: 'upgrade' },
      { at: 44_000, do: 'herd', app: 0, size: 1, holdMs: 0 },
    ],
  },
  {
    was: 'a boot that succeeded wrote its claim anew though another node had ended its container, which was then asked',
    also: [103, 134, 349, 549, 2_802],
    nodes: [
      { ...node, wallErrorMs: 700 },
      { ...node, bootSlots: 1 },
    ],
    apps: [{ ...app, max: 2, concurrency: 1, idleTtlMs: 2_000, maxLifetimeMs: 12_000 }],
    actions: [
      { at: 0, do: 'store restarted', empty: false },
      { at: 0, do: 'store lossy', forMs: 3_000, probability: 0.2 },
      { at: 0, do: 'close', node: 1, forMs: 13_000 },
      { ...request, at: 2_000, holdMs: 300 },
      { ...request, at: 2_000 },
      { at: 3_000, do: 'freeze', node: 0, forMs: 3_000 },
    ],
  },
  {
    was: 'who waited for a place on a node that was frozen got it before the node knew that it was given up',
    nodes: [
      { ...node, wallErrorMs: 700 },
      { ...node, wallErrorMs: -700, bootSlots: 1 },
    ],
    apps: [{ ...app, max: 3, concurrency: 1, idleTtlMs: 6_000, maxLifetimeMs: 30_000 }],
    actions: [
      { ...request, at: 5_000, holdMs: 12_000 },
      { at: 9_000, do: 'herd', app: 0, size: 9, holdMs: 3_000 },
      { at: 15_000, do: 'freeze', node: 0, forMs: 50_000 },
      { at: 55_000, do: 'partition', node: 1, forMs: 1_000, reset: true },
    ],
  },
];

const orders = 20;

t.setTimeout(3_600_000);

for (const { was, also = [], ...script } of replays) {
  t.test(`no more: ${was}`, { timeout: 0 }, async (t) => {
    const all = [...Array.from({ length: orders }, (_, order) => order), ...also];
    for (const order of all) {
      const { violations } = await runHistory({ ...script, seed: `replay ${order}` });
      if (violations.length > 0) return t.fail(`in order ${order}: ${JSON.stringify(violations[0])}`);
    }
    t.pass(`the guarantees hold in ${all.length} orders of it`);
  });
}

/** Revision after revision of the other app takes the addresses that are free, until it has all that came free. */
function addressesAreUsedUp(from: number): Action[] {
  return Array.from({ length: 14 }, (_, index) => [
    { at: from + index * 1_500, do: 'new revision', app: 1 } as const,
    { ...request, at: from + index * 1_500 + 100, node: 1, app: 1 },
  ]).flat();
}
