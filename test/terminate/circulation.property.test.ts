import fc from 'fast-check';
import t from 'tap';
import { type App, revisionOf } from '../../src/model/app.js';
import {
  type BootClaim,
  bootFailed,
  bootRefused,
  bootSucceeded,
  claimBoot,
  confirmGone,
  type Deployment,
  emptyDeployment,
  findInstance,
  instanceDied,
  startTerminate,
} from '../../src/model/deployment.js';
import type { Instance } from '../../src/model/instance.js';
import { nextDueAt } from '../../src/model/schedule.js';
import { claimUpkeep, nextUpkeep } from '../../src/model/upkeep.js';
import { quietUser, registerUser, releaseUser } from '../../src/model/users.js';
import { reap, type ReapContext } from '../../src/terminate/reap-policy.js';
import { testApp } from '../fixtures/app.js';

interface World {
  readonly app: App;
  readonly deployment: Deployment;
  readonly now: number;
  readonly ids: number;
}

const failure = { code: 'boot_failed' as const, message: 'no' };
const termination = { owner: 'me', reason: 'boot_failed' as const, stopTimeoutMs: 1_000 };
const address = { host: '127.0.0.1', port: 1 };

const at = (now: number): ReapContext => ({
  now,
  me: 'me',
  host: 'here',
  verdict: () => 'alive',
  mayEnd: true,
  removed: false,
});

/** One thing that can happen to an app; `pick` chooses the instance it happens to. */
type Step = (world: World, pick: number) => Deployment;

const inState = ({ deployment }: World, pick: number, ...states: Instance['state'][]): Instance | undefined => {
  const found = deployment.instances.filter(({ state }) => states.includes(state));
  return found[pick % Math.max(1, found.length)];
};
const claimOf = ({ ids }: World): BootClaim => ({
  id: `shop-${ids}`,
  host: 'here',
  owner: 'me',
});
const on =
  (states: Instance['state'][], change: (world: World, id: string, user: string) => Deployment): Step =>
  (world, pick) => {
    const instance = inState(world, pick, ...states);
    return instance ? change(world, instance.id, pick % 2 === 0 ? 'a' : 'b') : world.deployment;
  };

const steps = {
  request: (world) => claimBoot(world.deployment, world.app, claimOf(world), world.now),
  upkeep: (world) => {
    const next = nextUpkeep(world.deployment, world.app, world.now);
    return next ? claimUpkeep(world.deployment, world.app, next, claimOf(world), world.now) : world.deployment;
  },
  reap: ({ deployment, app, now }) => reap(deployment, app, at(now)),
  succeed: on(['booting'], ({ deployment, now }, id) =>
    bootSucceeded(deployment, id, { address, boot: {}, user: 'me' }, now),
  ),
  fail: on(['booting'], ({ deployment, now }, id) => bootFailed(deployment, id, failure, termination, now)),
  refuse: on(['booting'], ({ deployment, now }, id) => bootRefused(deployment, id, failure, now)),
  abort: on(['booting'], ({ deployment, now }, id) => startTerminate(deployment, id, termination, now)),
  die: on(['ready', 'draining'], ({ deployment, now }, id) => instanceDied(deployment, id, 'killed', now)),
  register: on(['ready'], ({ deployment, now }, id, user) => registerUser(deployment, id, user, now)),
  quiet: on(['ready'], ({ deployment, now }, id, user) => quietUser(deployment, id, user, now)),
  release: on(['ready', 'draining'], ({ deployment, now }, id, user) =>
    releaseUser(releaseUser(deployment, id, 'me', now), id, user, now),
  ),
  gone: on(['terminating'], ({ deployment }, id) => confirmGone(deployment, id)),
} satisfies Record<string, Step>;

/** What makes instances come and go happens more often than what breaks them, so that histories get somewhere. */
const often: (keyof typeof steps)[] = [
  'request',
  'upkeep',
  'upkeep',
  'succeed',
  'succeed',
  'register',
  'register',
  'reap',
  'gone',
];
const action = fc.oneof(
  { weight: 12, arbitrary: fc.record({ kind: fc.constantFrom<string>(...often), pick: fc.nat(5) }) },
  { weight: 5, arbitrary: fc.record({ kind: fc.constantFrom<string>(...Object.keys(steps)), pick: fc.nat(5) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('wait'), pick: fc.integer({ min: 1, max: 20_000 }) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('change'), pick: fc.nat(2) }) },
);
const history = fc.array(action, { minLength: 20, maxLength: 80, size: 'max' });

const start = fc
  .record({ max: fc.integer({ min: 1, max: 3 }), min: fc.nat(3), overlap: fc.boolean() })
  .map(({ max, min, overlap }): World => {
    const most = overlap ? max : 1;
    const limits = { idleTtlMs: 5_000, maxLifetimeMs: 20_000, drainTimeoutMs: 3_000, stopTimeoutMs: 1_000 };
    const app = testApp({ ...limits, overlap, scale: { min: Math.min(min, most), max: most } });
    return { app, deployment: emptyDeployment('shop'), now: 0, ids: 0 };
  });

function after(world: World, { kind, pick }: { kind: string; pick: number }): World {
  if (kind === 'wait') return { ...world, now: world.now + pick };
  if (kind === 'change') return { ...world, app: { ...world.app, env: { GREETING: String(pick) } } };
  const step = steps[kind as keyof typeof steps] as Step;
  return { ...world, deployment: step(world, pick), ids: world.ids + 1 };
}

const ready = ({ instances }: Deployment) => instances.filter(({ state }) => state === 'ready');
const isUsed = ({ users }: Instance) => Object.keys(users).length > 0;

/** What must hold after each step; returns what does not. */
function violations(before: World, world: World): string[] {
  const { app, deployment, now } = world;
  const { drainTimeoutMs, stopTimeoutMs, scale } = app;
  const stuck = ({ end }: Instance) => end !== undefined && now >= end.since + drainTimeoutMs + 2 * stopTimeoutMs;
  const counted = deployment.instances.filter((instance) => !stuck(instance)).length;
  const replacing = deployment.instances.filter(({ state, replaces }) => state === 'booting' && replaces);
  const drained = deployment.instances.filter(
    ({ id, end }) =>
      (end?.reason === 'lifetime' || end?.reason === 'revision') &&
      findInstance(before.deployment, id)?.state === 'ready',
  );
  const wasKept = ready(before.deployment).length <= scale.min;
  return [
    ...(app.overlap && counted > scale.max + 1 ? ['more than scale.max and one'] : []),
    ...(!app.overlap && deployment.instances.length > 1 ? ['two of an app that must not overlap'] : []),
    ...(replacing.length > 1 ? ['two replacements at once'] : []),
    ...(app.overlap && drained.some((instance) => isUsed(instance) || wasKept) && ready(deployment).length === 0
      ? ['the old one drained before a new one was ready']
      : []),
    ...(app.overlap &&
    drained.length > 0 &&
    ready(deployment).length < Math.min(scale.min, ready(before.deployment).length)
      ? ['fewer ready than scale.min because of circulation']
      : []),
    ...scheduleViolations(world),
  ];
}

/** The schedule neither misses what is to be done nor names an app of which nothing is to be done. */
function scheduleViolations({ app, deployment, now }: World): string[] {
  const dueAt = nextDueAt(deployment, app) ?? Infinity;
  const reaped = reap(deployment, app, at(now));
  const hasWork = reaped !== deployment || nextUpkeep(reaped, app, now) !== undefined;
  const isOverdue = deployment.instances.some(
    (instance) =>
      instance.state === 'draining' && isUsed(instance) && now >= (instance.end?.since ?? 0) + app.drainTimeoutMs,
  );
  return [
    ...(hasWork && dueAt > now ? [`work to do at ${now}, but not due before ${dueAt}`] : []),
    ...(!hasWork && dueAt <= now && !isOverdue ? [`due at ${dueAt}, but at ${now} there is nothing to do`] : []),
    ...(deployment.instances.length > 0 && !Number.isFinite(dueAt) ? ['never due again'] : []),
  ];
}

t.test('whatever happens, instances circulate within their bounds and the schedule knows of it', async (t) => {
  fc.assert(
    fc.property(start, history, (first, actions) => {
      let world = first;
      for (const each of actions) {
        const next = after(world, each);
        const wrong = violations(world, next);
        if (wrong.length > 0) throw new Error(`${each.kind}: ${wrong.join('; ')}: ${JSON.stringify(next, null, 1)}`);
        world = next;
      }
    }),
    { numRuns: 1_000 },
  );
  t.pass();
});

/** The daemon's loop with boots that all succeed: time goes on to the next deadline until all instances are of the app's revision. */
function settle(first: World): World {
  let world = first;
  for (let round = 0; round < 200; round += 1) {
    for (const kind of ['reap', 'upkeep', 'succeed', 'reap']) world = after(world, { kind, pick: 0 });
    for (const { id, state } of world.deployment.instances) {
      if (state !== 'draining') continue;
      const left = ['a', 'b', 'me'].reduce((next, user) => releaseUser(next, id, user, world.now), world.deployment);
      world = { ...world, deployment: left };
    }
    world = after(after(world, { kind: 'reap', pick: 0 }), { kind: 'gone', pick: 0 });
    const { deployment, app } = world;
    const revision = revisionOf(app);
    const isDone = deployment.instances.every(
      (instance) => instance.state === 'ready' && instance.revision === revision,
    );
    if (isDone && ready(deployment).length >= app.scale.min) return world;
    world = { ...world, now: Math.max(world.now + 1, nextDueAt(deployment, app) ?? 0) };
  }
  throw new Error(`never settles: ${JSON.stringify(world, null, 1)}`);
}

t.test('from wherever it is, an app comes to its present revision and its scale.min', async (t) => {
  fc.assert(
    fc.property(start, history, (first, actions) => {
      const world = actions.reduce(after, first);
      settle({ ...world, app: { ...world.app, maxLifetimeMs: 86_400_000, env: { GREETING: 'latest' } } });
    }),
    { numRuns: 300 },
  );
  t.pass();
});
