import t from 'tap';
import { type App, revisionOf } from '../../src/model/app.js';
import {
  bootFailed,
  bootRefused,
  bootSucceeded,
  claimBoot,
  confirmGone,
  type Deployment,
  instanceDied,
  startDrain,
  startTerminate,
} from '../../src/model/deployment.js';
import { expiresAt } from '../../src/model/lifetime.js';
import { nextDueAt } from '../../src/model/schedule.js';
import { claimUpkeep, needsSuccessor, nextUpkeep } from '../../src/model/upkeep.js';
import { registerUser } from '../../src/model/users.js';
import { testApp } from '../fixtures/app.js';
import { testDeployment, testInstance, testRevision } from '../fixtures/deployment.js';

const app = testApp({ idleTtlMs: 1_000, maxLifetimeMs: 50_000, drainTimeoutMs: 7_000, stopTimeoutMs: 1_000 });
const next: App = { ...app, env: { GREETING: 'new' } };
const claim = { id: 'shop-2', host: 'here', owner: 'me' };
const failure = { code: 'boot_failed' as const, message: 'exit code 1' };
const termination = { owner: 'me', reason: 'boot_failed' as const, stopTimeoutMs: 1_000 };
const report = { address: { host: '127.0.0.1', port: 1 }, boot: {}, user: 'me' };
const used = registerUser(testDeployment({}), 'shop-1', 'me', 0);
const replacing = { kind: 'replace', id: 'shop-1', reason: 'revision' } as const;
const states = ({ instances }: Deployment) => instances.map(({ state }) => state);

/** The replacement of shop-1 by shop-2, claimed at `now`. */
function claimed(now: number, deployment = used): Deployment {
  return claimUpkeep(deployment, next, replacing, claim, now);
}

t.test('a used instance is replaced at the end of its lifetime, an unused one is not', async (t) => {
  const end = expiresAt(testInstance(), app);
  t.equal(nextUpkeep(used, app, end - 1), undefined);
  t.same(nextUpkeep(used, app, end), { kind: 'replace', id: 'shop-1', reason: 'lifetime' });
  t.equal(nextDueAt(used, app), end);
  t.equal(nextUpkeep(testDeployment({}), app, end), undefined);
});

t.test('a replacement may go beyond scale.max by one, and only one is under way at a time', async (t) => {
  const one = claimed(100);
  t.match(one.instances[1], { id: 'shop-2', state: 'booting', replaces: { id: 'shop-1', reason: 'revision' } });
  t.equal(claimUpkeep(one, next, replacing, { ...claim, id: 'shop-3' }, 100), one);
  t.equal(claimBoot(one, next, { ...claim, id: 'shop-3' }, 100), one, 'no further boot either');
  t.equal(nextUpkeep(one, next, 1_000_000), undefined);
  t.equal(nextDueAt(one, next), one.instances[1]?.deadlineAt);
});

t.test('a replacement under way leaves room for scale-out up to scale.max', async (t) => {
  const two = { ...next, scale: { min: 0, max: 2 } };
  const both = claimBoot(claimUpkeep(used, two, replacing, claim, 100), two, { ...claim, id: 'shop-3' }, 100);
  t.same(states(both), ['ready', 'booting', 'booting']);
  t.equal(claimBoot(both, two, { ...claim, id: 'shop-4' }, 100), both);
});

t.test('the old instance drains in the very update that makes the new one ready', async (t) => {
  const after = bootSucceeded(claimed(100), 'shop-2', report, 200);
  t.match(after.instances, [
    { id: 'shop-1', state: 'draining', end: { reason: 'revision', since: 200 } },
    { id: 'shop-2', state: 'ready', users: { me: { since: 200 } } },
  ]);
  t.equal(after.instances[1]?.replaces, undefined);
});

t.test('several instances roll one after the other', async (t) => {
  const rolling = { ...next, scale: { min: 0, max: 2 } };
  const two = registerUser(registerUser(testDeployment({}, { id: 'shop-0' }), 'shop-0', 'me', 0), 'shop-1', 'me', 0);
  const first = bootSucceeded(claimUpkeep(two, rolling, replacing, claim, 100), 'shop-2', report, 200);
  t.same(states(first), ['draining', 'ready', 'ready']);
  t.equal(nextUpkeep(first, rolling, 300), undefined, 'the first one is still on its way out');
  t.equal(nextDueAt(first, rolling), 200 + 7_000, 'looked at when its drain is over');
  t.same(nextUpkeep(confirmGone(first, 'shop-1'), rolling, 300), { ...replacing, id: 'shop-0' });
  t.same(nextUpkeep(first, rolling, 200 + 9_000), { ...replacing, id: 'shop-0' }, 'one that is stuck does not hold it');
});

t.test('a replacement that fails leaves the old one ready and refuses nobody; it is tried again later', async (t) => {
  const failed = bootFailed(claimed(100), 'shop-2', failure, termination, 200);
  t.same(states(failed), ['ready', 'terminating']);
  t.equal(failed.breaker, undefined);
  const note = { failures: 1, retryAt: 1_200, code: 'boot_failed', revision: revisionOf(next), replaces: 'shop-1' };
  t.match(failed.failedRevision, note);
  const gone = confirmGone(failed, 'shop-2');
  t.equal(nextDueAt(gone, next), 1_200);
  t.equal(nextUpkeep(gone, next, 1_199), undefined);
  t.same(nextUpkeep(gone, next, 1_200), replacing);
  const again = bootRefused(claimed(1_200, gone), 'shop-2', failure, 1_300);
  t.match(again.failedRevision, { failures: 2, retryAt: 3_300 });
});

t.test('another revision is tried at once, and counts its own failures', async (t) => {
  const gone = bootRefused(claimed(100), 'shop-2', failure, 200);
  const mended = { ...next, env: { GREETING: 'mended' } };
  t.same(nextUpkeep(gone, mended, 201), replacing);
  t.equal(nextDueAt(gone, mended), 0);
  const again = bootRefused(claimUpkeep(gone, mended, replacing, claim, 201), 'shop-2', failure, 300);
  t.match(again.failedRevision, { failures: 1, revision: revisionOf(mended) });
});

t.test('a boot that succeeds forgets the failed replacement', async (t) => {
  const gone = bootRefused(claimed(100), 'shop-2', failure, 200);
  t.equal(bootSucceeded(claimed(5_000, gone), 'shop-2', report, 6_000).failedRevision, undefined);
});

t.test('where the old instance died meanwhile, the replacement is a boot like any other', async (t) => {
  const alone = instanceDied(claimed(100), 'shop-1', 'exit code 1', 20_000);
  t.equal(claimBoot(alone, next, { ...claim, id: 'shop-3' }, 20_000), alone, 'it counts against scale.max');
  t.match(bootSucceeded(alone, 'shop-2', report, 20_001).instances, [{ id: 'shop-2', state: 'ready' }]);
  const failed = bootFailed(alone, 'shop-2', failure, termination, 20_001);
  t.match(failed, { breaker: { failures: 1 }, failedRevision: undefined });
});

t.test('an instance whose replacement boots stays, even if its last user leaves meanwhile', async (t) => {
  const unused = claimed(100, testDeployment({ users: { me: { since: 0 } } }));
  const left = { ...unused, instances: unused.instances.map((instance) => ({ ...instance, users: {} })) };
  t.ok(needsSuccessor(left, left.instances[0]!, next));
});

t.test('an app that must not overlap is never replaced, and boots only when nothing of it is left', async (t) => {
  const alone = { ...next, overlap: false };
  t.equal(nextUpkeep(used, alone, 100), undefined);
  t.equal(nextDueAt(used, alone), 0, 'it is due to drain');
  const draining = startDrain(testDeployment({}), 'shop-1', 'revision', 100);
  t.equal(claimBoot(draining, alone, claim, 1_000_000), draining, 'not even beside one that is stuck');
  const doomed = startTerminate(draining, 'shop-1', termination, 200);
  t.equal(claimBoot(doomed, alone, claim, 1_000_000), doomed);
  t.same(states(claimBoot(confirmGone(doomed, 'shop-1'), alone, claim, 300)), ['booting']);
});

t.test('an app below scale.min is due at once and boots without being asked', async (t) => {
  const kept = { ...app, scale: { min: 2, max: 3 } };
  const fill = { kind: 'fill' } as const;
  t.equal(nextDueAt(testDeployment(), kept), 0);
  t.same(nextUpkeep(testDeployment(), kept, 100), fill);
  const one = claimUpkeep(testDeployment(), kept, fill, claim, 100);
  const two = claimUpkeep(one, kept, fill, { ...claim, id: 'shop-3' }, 100);
  t.same(states(two), ['booting', 'booting']);
  t.equal(claimUpkeep(two, kept, fill, { ...claim, id: 'shop-4' }, 100), two);
});

t.test('a crash loop below scale.min backs off', async (t) => {
  const kept = { ...app, scale: { min: 1, max: 1 } };
  const crashed = bootRefused(claimUpkeep(testDeployment(), kept, { kind: 'fill' }, claim, 0), 'shop-2', failure, 100);
  t.equal(nextDueAt(crashed, kept), 1_100);
  t.equal(nextUpkeep(crashed, kept, 1_099), undefined);
  t.same(nextUpkeep(crashed, kept, 1_100), { kind: 'fill' });
});

t.test('an idle instance that scale.min keeps is replaced at the end of its lifetime', async (t) => {
  const kept = { ...app, scale: { min: 1, max: 1 } };
  t.match(nextUpkeep(testDeployment({}), kept, 50_000), { kind: 'replace', id: 'shop-1', reason: 'lifetime' });
  t.equal(nextUpkeep(testDeployment({}, { id: 'shop-0' }), { ...kept, scale: { min: 1, max: 2 } }, 50_000), undefined);
});

t.test('a record of before the app changed back needs no replacement', async (t) => {
  t.equal(testDeployment({}).instances[0]?.revision, testRevision);
  t.equal(nextUpkeep(used, app, 100), undefined);
});
