import t from 'tap';
import { reap, type ReapContext } from '../../src/terminate/reap-policy.js';
import { bootSucceeded, claimBoot, emptyDeployment, findInstance } from '../../src/model/deployment.js';
import { drainInstances, restartInstances, stopInstances, wake } from '../../src/model/operations.js';
import { nextDueAt } from '../../src/model/schedule.js';
import { nextUpkeep } from '../../src/model/upkeep.js';
import { testApp } from '../fixtures/app.js';
import { testDeployment } from '../fixtures/deployment.js';

const app = testApp({ name: 'shop', scale: { min: 0, max: 2 } });
const claim = { id: 'shop-9', host: 'here' };
const breaker = { failures: 3, retryAt: 60_000, code: 'boot_failed' as const, message: 'exit code 1' };
const context: ReapContext = {
  ...{ host: 'here', now: 100, me: 'me', mayEnd: true, removed: false },
  verdict: () => 'alive',
};

t.test('waking claims a boot that a node of the host takes up, whatever back-off there is', async (t) => {
  const woken = wake({ ...emptyDeployment('shop'), breaker }, app, claim, 100);
  t.match(woken.instances, [{ id: 'shop-9', state: 'booting', host: 'here', owner: undefined }]);
  for (const state of ['ready', 'booting'] as const) {
    const up = testDeployment({ state });
    t.equal(wake(up, app, claim, 100), up, `one is ${state}`);
  }
  const stopped = stopInstances(testDeployment({ state: 'booting', owner: 'me' }), 50);
  t.equal(wake(stopped, app, claim, 100).instances.length, 2, 'one that was stopped while it booted does not count');
});

t.test('a stop drains what is ready, withdraws what nobody boots yet, and has the others broken off', async (t) => {
  const before = testDeployment(
    { id: 'ready' },
    { id: 'asked', state: 'booting' },
    { id: 'boots', state: 'booting', owner: 'me', deadlineAt: 1_000 },
    { id: 'ends', state: 'terminating', owner: 'me', end: { reason: 'idle', since: 5 } },
  );
  const stopped = stopInstances(before, 100);
  t.equal(findInstance(stopped, 'asked'), undefined);
  t.match(findInstance(stopped, 'ready'), { state: 'draining', end: { reason: 'stopped', since: 100 } });
  t.match(findInstance(stopped, 'boots'), { state: 'booting', end: { reason: 'stopped', since: 100 } });
  t.match(findInstance(stopped, 'ends'), { end: { reason: 'idle' } });
  t.same(stopInstances(stopped, 200), stopped, 'a second one changes nothing');
  const drained = drainInstances(before, 100);
  t.match(findInstance(drained, 'ready'), { state: 'draining' });
  t.equal(findInstance(drained, 'boots'), before.instances[2], 'a drain leaves what boots alone');
});

t.test('an instance that becomes ready although it was stopped serves nobody', async (t) => {
  const boots = stopInstances(claimBoot(emptyDeployment('shop'), app, { ...claim, owner: 'me' }, 50), 100);
  const report = { address: { host: '127.0.0.1', port: 1 }, boot: {}, user: 'me' };
  t.match(findInstance(bootSucceeded(boots, 'shop-9', report, 200), 'shop-9'), {
    state: 'draining',
    end: { reason: 'stopped', since: 200 },
  });
});

t.test('a restart replaces what is used, and ends what is not', async (t) => {
  const used = restartInstances(testDeployment({ users: { me: { since: 0 } } }), 100);
  t.same(nextUpkeep(used, app, 100), { kind: 'replace', id: 'shop-1', reason: 'restart' });
  t.ok((nextDueAt(used, app) ?? Infinity) <= 100, 'it is due now');
  t.equal(reap(used, app, context), used, 'it serves until its successor does');
  const unused = restartInstances(testDeployment({}), 100);
  t.equal(nextUpkeep(unused, app, 100), undefined);
  t.match(reap(unused, app, context).instances[0], { state: 'terminating', end: { reason: 'restart' } });
  const alone = { ...app, overlap: false };
  t.match(reap(used, alone, context).instances[0], { state: 'draining', end: { reason: 'restart' } });
});

t.test('a restart does not wait for the back-off of a replacement that failed', async (t) => {
  const failedRevision = { ...breaker, revision: testDeployment({}).instances[0]!.revision, replaces: 'shop-1' };
  const held = { ...testDeployment({ users: { me: { since: 0 } }, restartAt: 50 }), failedRevision };
  t.equal(nextUpkeep(held, app, 100), undefined);
  t.match(nextUpkeep(restartInstances(held, 100), app, 100), { kind: 'replace', reason: 'restart' });
  const asleep = { ...emptyDeployment('shop'), failedRevision };
  t.equal(restartInstances(asleep, 100), asleep, 'of an app that sleeps nothing is restarted');
});
