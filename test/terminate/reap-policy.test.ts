import t from 'tap';
import { quietUser, registerUser } from '../../src/model/users.js';
import { reap, type ReapContext } from '../../src/terminate/reap-policy.js';
import { testApp } from '../fixtures/app.js';
import { testDeployment } from '../fixtures/deployment.js';

const app = testApp({ name: 'shop', idleTtlMs: 1_000, maxLifetimeMs: 50_000, scale: { min: 0, max: 3 } });
const at = (now: number, overrides: Partial<ReapContext> = {}): ReapContext => ({
  now,
  me: 'me',
  host: 'here',
  verdict: (user) => (user === 'dead' ? 'gone' : 'alive'),
  mayEnd: true,
  removed: false,
  ...overrides,
});

t.test('an instance that nobody uses is terminated after its idle TTL, and not before', async (t) => {
  const idle = testDeployment({});
  t.equal(reap(idle, app, at(999)), idle);
  t.match(reap(idle, app, at(1_000)).instances[0], { state: 'terminating', owner: 'me', end: { reason: 'idle' } });
});

t.test('a used instance stays, however long nothing was written about it', async (t) => {
  const used = registerUser(testDeployment({}), 'shop-1', 'alive', 0);
  t.equal(reap(used, app, at(40_000)), used);
});

t.test('an instance that only silent connections hold drains after the idle TTL', async (t) => {
  const quiet = quietUser(registerUser(testDeployment({}), 'shop-1', 'alive', 0), 'shop-1', 'alive', 500);
  t.equal(reap(quiet, app, at(1_499)), quiet);
  t.match(reap(quiet, app, at(1_500)).instances[0], { state: 'draining', end: { reason: 'idle' } });
});

t.test('the users of a dead session are dropped, which counts as activity now', async (t) => {
  const used = registerUser(testDeployment({}), 'shop-1', 'dead', 0);
  t.match(reap(used, app, at(5_000)).instances[0], { state: 'ready', users: {}, lastActiveAt: 5_000 });
});

t.test('an unused instance that reached its lifetime ends, a used one stays until another is ready', async (t) => {
  const used = registerUser(testDeployment({}), 'shop-1', 'alive', 0);
  t.equal(reap(used, app, at(50_000)), used);
  t.match(reap(testDeployment({ lastActiveAt: 49_900 }), app, at(50_000)).instances[0], { state: 'terminating' });
});

t.test('a used instance of an app that must not overlap drains at once when it has to go', async (t) => {
  const used = registerUser(testDeployment({}), 'shop-1', 'alive', 0);
  const alone = { ...app, overlap: false, scale: { min: 0, max: 1 } };
  t.match(reap(used, alone, at(50_000)).instances[0], { state: 'draining', end: { reason: 'lifetime' } });
  const next = { ...alone, env: { GREETING: 'new' } };
  t.match(reap(used, next, at(1)).instances[0], { state: 'draining', end: { reason: 'revision' } });
});

t.test('an unused instance of another revision ends at once, a used one stays until another is ready', async (t) => {
  const next = { ...app, env: { GREETING: 'new' } };
  t.match(reap(testDeployment({}), next, at(1)).instances[0], { state: 'terminating', end: { reason: 'revision' } });
  const used = registerUser(testDeployment({}), 'shop-1', 'alive', 0);
  t.equal(reap(used, next, at(1)), used);
});

t.test('an instance that scale.min keeps stays until another is ready, used or not', async (t) => {
  const kept = { ...app, scale: { min: 1, max: 3 } };
  const idle = testDeployment({});
  t.equal(reap(idle, kept, at(60_000)), idle);
});

t.test('of more instances than scale.max, one that has to go is not replaced', async (t) => {
  const smaller = { ...app, scale: { min: 0, max: 1 } };
  const two = registerUser(testDeployment({}, { id: 'shop-2', readyAt: 40_000 }), 'shop-1', 'alive', 0);
  const used = registerUser(two, 'shop-2', 'alive', 0);
  t.same(
    reap(used, smaller, at(50_000)).instances.map(({ state }) => state),
    ['draining', 'ready'],
  );
});

t.test('scale.min instances are kept when idle', async (t) => {
  const kept = { ...app, scale: { min: 1, max: 3 } };
  const two = testDeployment({}, { id: 'shop-2' });
  const reaped = reap(two, kept, at(5_000));
  t.same(reaped.instances.map(({ state }) => state).toSorted(), ['ready', 'terminating']);
});

t.test('the instances of a removed app drain', async (t) => {
  t.match(reap(testDeployment({}), app, at(1, { removed: true })).instances[0], {
    state: 'terminating',
    end: { reason: 'app_removed' },
  });
  t.match(reap(testDeployment({}), undefined, at(1)).instances[0], { state: 'terminating' });
});

t.test('nothing ends while this node has not followed the store for long enough', async (t) => {
  const idle = testDeployment({});
  t.equal(reap(idle, app, at(90_000, { mayEnd: false })), idle);
});

t.test('a claim past its deadline or of a dead owner is taken over to be cleaned up', async (t) => {
  const booting = testDeployment({ state: 'booting', owner: 'alive', deadlineAt: 2_000 });
  t.equal(reap(booting, app, at(1_999)), booting);
  t.match(reap(booting, app, at(2_000)).instances[0], { state: 'terminating', owner: 'me' });
  const abandoned = testDeployment({ state: 'booting', owner: 'dead', deadlineAt: 2_000 });
  t.match(reap(abandoned, app, at(1, { mayEnd: false })).instances[0], { state: 'terminating', owner: 'me' });
});

t.test('a termination is taken over from a dead owner or past its deadline only', async (t) => {
  const doomed = (owner: string) => testDeployment({ state: 'terminating', owner, deadlineAt: 2_000 });
  const alive = doomed('alive');
  t.equal(reap(alive, app, at(1_000)), alive);
  t.match(reap(alive, app, at(2_000)).instances[0], { owner: 'me' });
  t.match(reap(doomed('dead'), app, at(1_000)).instances[0], { owner: 'me' });
});

t.test('containers of another machine are drained but left to it', async (t) => {
  const there = testDeployment({ host: 'there' });
  t.match(reap(there, app, at(1_000)).instances[0], { state: 'draining' });
});

t.test(
  'a claim that no node of its host took up is freed by any machine at its deadline, with a failure',
  async (t) => {
    const asked = testDeployment({ state: 'booting', host: 'elsewhere', askedBy: 'me', deadlineAt: 10_000 });
    t.equal(reap(asked, app, at(9_999)), asked);
    const freed = reap(asked, app, at(10_000));
    t.same(freed.instances, []);
    t.match(freed.breaker, { code: 'boot_failed', message: /no dispatcher of elsewhere/ });
    t.same(reap(asked, app, at(0, { removed: true })), testDeployment(), 'of a removed app it goes at once');
    const taken = testDeployment({ state: 'booting', host: 'elsewhere', owner: 'dead', deadlineAt: 10_000 });
    t.equal(reap(taken, app, at(99_000)), taken, 'one that was taken up is its own machine to end');
  },
);

t.test('an idle instance is paused by a node that sees it; one that does not asks for that', async (t) => {
  const pausing = { ...app, pauseAfterMs: 300 };
  const idle = testDeployment({});
  t.equal(reap(idle, pausing, at(299)), idle);
  t.equal(reap(idle, pausing, at(300, { mayEnd: false })), idle);
  t.match(reap(idle, pausing, at(300)).instances[0], { state: 'pausing', owner: 'me' });
  const [far] = reap(testDeployment({ host: 'there' }), pausing, at(300)).instances;
  t.match(far, { state: 'pausing', askedBy: 'me', owner: undefined });
  t.match(reap(idle, pausing, at(1_000)).instances[0], { state: 'terminating', end: { reason: 'idle' } });
});

t.test('a paused instance ends when it is idle or old, is of another revision, or its app is gone', async (t) => {
  const asleep = testDeployment({ state: 'paused' });
  t.equal(reap(asleep, app, at(999)), asleep);
  t.match(reap(asleep, app, at(1_000)).instances[0], { state: 'terminating', end: { reason: 'idle' } });
  const patient = { ...app, idleTtlMs: 90_000 };
  t.match(reap(asleep, patient, at(50_000)).instances[0], { state: 'terminating', end: { reason: 'lifetime' } });
  const next = { ...app, env: { GREETING: 'new' } };
  t.match(reap(asleep, next, at(1)).instances[0], { state: 'terminating', end: { reason: 'revision' } });
  t.match(reap(asleep, app, at(1, { removed: true })).instances[0], { end: { reason: 'app_removed' } });
  const kept = { ...app, scale: { min: 1, max: 1 } };
  t.match(
    reap(asleep, kept, at(1_000)).instances[0],
    { end: { reason: 'idle' } },
    'scale.min keeps none that is asleep',
  );
});
