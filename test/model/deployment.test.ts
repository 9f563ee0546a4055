import t from 'tap';
import {
  addInstance,
  bootFailed,
  bootRefused,
  bootSucceeded,
  claimBoot,
  confirmGone,
  emptyDeployment,
  instanceDied,
  startDrain,
  startTerminate,
} from '../../src/model/deployment.js';
import { dropUsers, quietUser, registerUser, releaseUser, restoreUse } from '../../src/model/users.js';
import { transitions } from '../../src/model/instance.js';
import { testApp } from '../fixtures/app.js';
import { testDeployment, testInstance } from '../fixtures/deployment.js';

const app = testApp({ name: 'shop', scale: { min: 0, max: 1 }, drainTimeoutMs: 30_000, stopTimeoutMs: 10_000 });
const claim = { id: 'shop-1', host: 'here', owner: 'me' };
const termination = { owner: 'me', reason: 'idle' as const, stopTimeoutMs: 10_000 };
const report = { address: { host: '127.0.0.1', port: 1 }, boot: { start: 5 }, user: 'me' };

t.test('a boot is claimed once where one instance is allowed', async (t) => {
  const first = claimBoot(emptyDeployment('shop'), app, claim, 100);
  t.match(first.instances, [{ id: 'shop-1', state: 'booting', owner: 'me', bootedAt: 100 }]);
  t.equal(claimBoot(first, app, { ...claim, id: 'shop-2' }, 100), first, 'the second claim changes nothing');
});

t.test('a new instance may boot beside one that drains, but not beside two', async (t) => {
  const draining = testDeployment({ state: 'draining', end: { reason: 'lifetime', since: 0 } });
  const both = claimBoot(draining, app, { ...claim, id: 'shop-2' }, 100);
  t.equal(both.instances.length, 2);
  const drainingToo = startDrain(bootSucceeded(both, 'shop-2', report, 200), 'shop-2', 'lifetime', 300);
  t.equal(claimBoot(drainingToo, app, { ...claim, id: 'shop-3' }, 400), drainingToo);
});

t.test('an instance stuck past drainTimeout and twice stopTimeout no longer stands in the way', async (t) => {
  const stuck = testDeployment(
    { state: 'terminating', end: { reason: 'idle', since: 0 } },
    { id: 'shop-2', state: 'terminating', end: { reason: 'idle', since: 0 } },
  );
  t.equal(claimBoot(stuck, app, { ...claim, id: 'shop-3' }, 49_999), stuck);
  t.equal(claimBoot(stuck, app, { ...claim, id: 'shop-3' }, 50_000).instances.length, 3);
});

t.test('a boot that succeeded makes its booter the first user and resets the breaker', async (t) => {
  const failed = {
    ...emptyDeployment('shop'),
    breaker: { failures: 3, retryAt: 0, code: 'boot_failed' as const, message: '' },
  };
  const ready = bootSucceeded(claimBoot(failed, app, claim, 100), 'shop-1', report, 200);
  t.match(ready.instances[0], { state: 'ready', readyAt: 200, users: { me: { since: 200 } }, failuresBefore: 3 });
  t.equal(ready.instances[0]?.owner, undefined);
  t.equal(ready.breaker, undefined);
});

t.test('a booter that comes late finds its claim gone', async (t) => {
  const gone = emptyDeployment('shop');
  t.equal(bootSucceeded(gone, 'shop-1', report, 200), gone);
  const others = claimBoot(gone, app, { ...claim, owner: 'another' }, 100);
  t.equal(bootSucceeded(others, 'shop-1', report, 200), others);
});

t.test('failed boots back off ever longer, up to a minute', async (t) => {
  let deployment = emptyDeployment('shop');
  const pauses: number[] = [];
  for (let round = 0; round < 9; round += 1) {
    deployment = claimBoot(deployment, app, { ...claim, id: `shop-${round}` }, 0);
    deployment = bootFailed(deployment, `shop-${round}`, { code: 'boot_failed', message: 'no' }, termination, 0);
    deployment = confirmGone(deployment, `shop-${round}`);
    pauses.push(deployment.breaker?.retryAt ?? -1);
  }
  t.same(pauses, [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]);
});

t.test('a boot that the runtime refused leaves only the breaker', async (t) => {
  const booting = claimBoot(emptyDeployment('shop'), app, claim, 0);
  const refused = bootRefused(booting, 'shop-1', { code: 'boot_failed', message: 'no engine' }, 100);
  t.match(refused, { instances: [], breaker: { failures: 1, retryAt: 1_100, message: 'no engine' } });
  t.equal(bootRefused(refused, 'shop-1', { code: 'boot_failed', message: '' }, 200), refused);
});

t.test('an instance that dies young continues the count of failed boots, an old one does not', async (t) => {
  const young = testDeployment({ readyAt: 1_000, failuresBefore: 2 });
  t.match(instanceDied(young, 'shop-1', 'exit code 1', 2_000).breaker, { failures: 3, message: 'exit code 1' });
  t.equal(instanceDied(young, 'shop-1', 'exit code 1', 60_000).breaker, undefined);
  t.match(instanceDied(testDeployment({ readyAt: 1_000 }), 'shop-1', 'killed', 2_000).breaker, {
    failures: 1,
    retryAt: 2_000,
  });
  t.same(instanceDied(young, 'shop-1', 'exit code 1', 60_000).instances, []);
});

t.test('an instance that dies while it boots is left to its booter', async (t) => {
  const booting = claimBoot(emptyDeployment('shop'), app, claim, 100);
  t.equal(instanceDied(booting, 'shop-1', 'exit code 1', 200), booting);
});

t.test('only a ready instance takes users', async (t) => {
  for (const state of ['booting', 'draining', 'terminating'] as const) {
    const deployment = testDeployment({ state });
    t.equal(registerUser(deployment, 'shop-1', 'me', 100), deployment, state);
  }
  t.same(registerUser(testDeployment({}), 'shop-1', 'me', 100).instances[0]?.users, { me: { since: 100 } });
});

t.test('a release keeps the latest activity', async (t) => {
  const used = registerUser(registerUser(testDeployment({}), 'shop-1', 'a', 100), 'shop-1', 'b', 100);
  const late = releaseUser(releaseUser(used, 'shop-1', 'a', 500), 'shop-1', 'b', 300);
  t.match(late.instances[0], { users: {}, lastActiveAt: 500 });
});

t.test('a user that fell quiet and wakes up counts again since it first came', async (t) => {
  const quiet = quietUser(registerUser(testDeployment({}), 'shop-1', 'me', 100), 'shop-1', 'me', 400);
  t.same(quiet.instances[0]?.users, { me: { since: 100, quietSince: 400 } });
  t.same(registerUser(quiet, 'shop-1', 'me', 900).instances[0]?.users, { me: { since: 100 } });
});

t.test('dropped users count as active until now', async (t) => {
  const used = registerUser(testDeployment({}), 'shop-1', 'dead', 100);
  t.match(dropUsers(used, (user) => user === 'dead', 700).instances[0], { users: {}, lastActiveAt: 700 });
});

t.test('nothing is terminated while it has users, and never straight from ready', async (t) => {
  const ready = testDeployment({});
  t.equal(startTerminate(ready, 'shop-1', termination, 100), ready);
  const used = startDrain(registerUser(ready, 'shop-1', 'me', 50), 'shop-1', 'idle', 100);
  t.equal(startTerminate(used, 'shop-1', termination, 100), used);
  const doomed = startTerminate(releaseUser(used, 'shop-1', 'me', 90), 'shop-1', termination, 100);
  t.match(doomed.instances[0], { state: 'terminating', owner: 'me', end: { reason: 'idle', since: 100 } });
});

t.test('terminating twice and confirming twice are harmless', async (t) => {
  const doomed = testDeployment({ state: 'terminating', owner: 'other', end: { reason: 'lifetime', since: 5 } });
  t.match(startTerminate(doomed, 'shop-1', termination, 100).instances[0], {
    owner: 'me',
    end: { reason: 'lifetime' },
  });
  const gone = confirmGone(doomed, 'shop-1');
  t.equal(confirmGone(gone, 'shop-1'), gone);
});

t.test('an adopted instance joins once', async (t) => {
  const once = addInstance(emptyDeployment('shop'), testInstance());
  t.equal(once.instances.length, 1);
  t.equal(addInstance(once, testInstance()), once);
});

t.test('every state can end, and none comes back from terminating', async (t) => {
  for (const [state, next] of Object.entries(transitions)) t.ok(next.includes('removed'), state);
  t.same(transitions.terminating, ['removed']);
});

t.test("a boot is its node's own also after the session was renewed", async (t) => {
  const claimed = claimBoot(emptyDeployment('shop'), app, claim, 100);
  const renewed = { ...report, user: 'renewed', claimedBy: report.user };
  t.match(bootSucceeded(claimed, 'shop-1', renewed, 200).instances, [{ state: 'ready', users: { renewed: {} } }]);
  const failure = { code: 'boot_failed', message: 'no' } as const;
  const doomed = bootFailed(
    claimed,
    'shop-1',
    failure,
    { ...termination, owner: 'renewed', claimedBy: report.user },
    200,
  );
  t.match(doomed, { breaker: failure, instances: [{ state: 'terminating', owner: 'renewed' }] });
});

t.test('a lost use is written anew with its instance as it was, unless the doom of that is written', async (t) => {
  const draining = testInstance({
    state: 'draining',
    users: { gone: { since: 1 } },
    end: { reason: 'lifetime', since: 2 },
  });
  const restored = restoreUse(emptyDeployment('shop'), draining, 'me', 5);
  t.match(restored.instances, [{ state: 'draining', end: { since: 2 } }]);
  t.same(restored.instances[0]?.users, { me: { since: 5 } });
  t.same(Object.keys(restoreUse(restored, draining, 'other', 6).instances[0]?.users ?? {}), ['me', 'other']);
  t.equal(restoreUse(restored, draining, 'me', 7), restored, 'harmless twice');
  const doomed = testDeployment({ state: 'terminating' });
  t.equal(restoreUse(doomed, draining, 'me', 5), doomed);
});
