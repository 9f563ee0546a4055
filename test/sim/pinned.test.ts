import t from 'tap';
import { explore, report } from './explore.js';
import { generate } from './generate.js';
import { type HistoryOptions, runHistory } from './history.js';
import type { Action, AppPlan, NodePlan, Script } from './script.js';

const histories = 200;

t.setTimeout(3_600_000);

/** A random script on two machines, with apps whose data is local. */
function onTwoMachines(seed: string): Script {
  const { nodes, apps, actions } = generate(seed);
  const [first] = nodes as [NodePlan];
  const all = nodes.length > 1 ? nodes : [first, first];
  return {
    seed,
    nodes: all.map((node, index) => ({ ...node, host: index % 2 === 0 ? 'a' : 'b' })),
    apps: apps.map((app) => ({ ...app, ...longer(app), local: true })),
    actions: actions.map((action, index): Action => {
      if (action.do === 'change app') return { ...action, plan: { ...action.plan, ...longer(action.plan) } };
      return 'host' in action && index % 2 === 1 ? { ...action, host: 'b' } : action;
    }),
  };
}

/** A lifetime that begins by one machine's clock and ends by another's, 3 s apart, is to be longer than half an idle TTL. */
function longer({ maxLifetimeMs }: Partial<AppPlan>): Partial<AppPlan> {
  return maxLifetimeMs === undefined ? {} : { maxLifetimeMs: Math.max(30_000, maxLifetimeMs) };
}

t.test(
  `the guarantees hold in ${histories} random histories of pinned apps on two machines`,
  { timeout: 3_600_000 },
  async (t) => {
    const options: HistoryOptions = {};
    const finding = await explore(1, histories, options, onTwoMachines);
    if (finding) t.fail(await report(finding, options));
    else t.pass('every guarantee held');
  },
);

t.test('an app that slept is booted on its machine for requests of the other, with one boot', async (t) => {
  const node = { wallErrorMs: 0, bootSlots: 4 };
  const boots: string[] = [];
  const result = await runHistory(
    {
      seed: '1',
      nodes: ['a', 'b', 'a'].map((host) => ({ ...node, host })),
      apps: [{ max: 1, concurrency: 100, idleTtlMs: 2_000, maxLifetimeMs: 600_000, local: true }],
      actions: [
        { at: 0, do: 'request', node: 0, app: 0, kind: 'http', holdMs: 0 },
        { at: 110_000, do: 'herd', app: 0, size: 12, holdMs: 100 },
      ],
    },
    { trace: (line) => void (/ info: booting /.test(line) && boots.push(line)) },
  );
  t.same(result.violations, []);
  t.equal(result.answered, result.requests);
  t.match(boots.slice(0, 2), [/node 0 info/, /node [02] info/]);
});

t.test('an app that is paused is resumed on its machine for requests of the other, without a boot', async (t) => {
  const node = { wallErrorMs: 0, bootSlots: 4 };
  const told: string[] = [];
  const result = await runHistory(
    {
      seed: '1',
      nodes: ['a', 'b'].map((host) => ({ ...node, host })),
      apps: [
        { ...{ max: 1, concurrency: 100, idleTtlMs: 60_000, maxLifetimeMs: 600_000 }, local: true, pauseAfterMs: 300 },
      ],
      actions: [
        { at: 0, do: 'request', node: 0, app: 0, kind: 'http', holdMs: 0 },
        { at: 20_000, do: 'request', node: 1, app: 0, kind: 'http', holdMs: 100 },
      ],
    },
    { trace: (line) => void (/ info: (booting|paused|resumed)|sent by/.test(line) && told.push(line)) },
  );
  t.same(result.violations, []);
  t.equal(result.answered, result.requests);
  t.match(told.slice(0, 5), [
    /node 0 info: booting/,
    /r0 sent by node 0/,
    /node 0 info: paused/,
    /node 0 info: resumed/,
    /r1 sent by node 1/,
  ]);
});
