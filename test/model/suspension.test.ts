import t from 'tap';
import type { Deployment } from '../../src/model/deployment.js';
import { findInstance, room, startDrain, startTerminate } from '../../src/model/deployment.js';
import type { Instance } from '../../src/model/instance.js';
import { hostsToAct } from '../../src/model/host-actions.js';
import { drainInstances, restartInstances, stopInstances, wake } from '../../src/model/operations.js';
import { nextDueAt } from '../../src/model/schedule.js';
import {
  mayFreeze,
  notPaused,
  paused,
  resumed,
  resumeFailed,
  settleSuspension,
  startPause,
  startResume,
  takeSuspension,
} from '../../src/model/suspension.js';
import { nextUpkeep } from '../../src/model/upkeep.js';
import { registerUser, renewUser } from '../../src/model/users.js';
import { testApp } from '../fixtures/app.js';
import { testDeployment } from '../fixtures/deployment.js';

const app = testApp({ pauseAfterMs: 30_000, idleTtlMs: 600_000 });
const me = { owner: 'me' };
const noneGone = () => false;

function stateOf(deployment: Deployment, id = 'shop-1'): Instance['state'] | undefined {
  return findInstance(deployment, id)?.state;
}

const pausing = startPause(testDeployment({}), 'shop-1', app, me, 30_000);
const asleep = paused(pausing, 'shop-1', 'me');
const resuming = startResume(asleep, 'shop-1', me, 50_000);

t.test(
  'an instance that nobody used for long enough is paused, and is ready again with the one that resumed it',
  async (t) => {
    t.match(findInstance(pausing, 'shop-1'), { state: 'pausing', owner: 'me', deadlineAt: 50_000 });
    t.same(asleep, testDeployment({ state: 'paused' }), 'nothing of the pause is left in the record');
    t.match(findInstance(resuming, 'shop-1'), { state: 'resuming', owner: 'me', deadlineAt: 70_000 });
    const ready = resumed(resuming, 'shop-1', { owner: 'me', user: 'me again' }, 50_010);
    t.same(ready, testDeployment({ users: { 'me again': { since: 50_010 } } }), 'which alone is no activity');
  },
);

t.test('it is not paused before its time, while it is used or kept, or if its app is never paused', async (t) => {
  const rows: [string, Deployment, typeof app][] = [
    ['used lately', testDeployment({ lastActiveAt: 1 }), app],
    ['used', testDeployment({ users: { other: { since: 0 } } }), app],
    ['with a silent WebSocket', testDeployment({ users: { other: { since: 0, quietSince: 0 } } }), app],
    ['kept by scale.min', testDeployment({}), { ...app, scale: { min: 1, max: 2 } }],
    ['about to be replaced', testDeployment({}, replacing('shop-1')), app],
    ['of a runtime that could not', testDeployment({ unpausable: true }), app],
    ['of an app without pauseAfter', testDeployment({}), { ...app, pauseAfterMs: 0 }],
    ['not ready', testDeployment({ state: 'draining' }), app],
  ];
  for (const [what, before, of] of rows) t.equal(startPause(before, 'shop-1', of, me, 30_000), before, what);
  t.equal(startPause(testDeployment({}), 'shop-2', app, me, 30_000).instances.length, 1);
});

t.test('of an app that is kept at one, only what is beyond that is paused', async (t) => {
  const kept = { ...app, scale: { min: 1, max: 2 } };
  const two = testDeployment({}, { id: 'shop-2' });
  const one = startPause(two, 'shop-1', kept, me, 30_000);
  t.equal(stateOf(one), 'pausing');
  t.equal(startPause(one, 'shop-2', kept, me, 30_000), one);
});

t.test('nobody begins to use a suspended instance, and no late renewal of a session brings its use back', async (t) => {
  for (const suspended of [pausing, asleep, resuming]) {
    t.equal(registerUser(suspended, 'shop-1', 'other', 31_000), suspended);
    t.equal(
      renewUser(suspended, 'shop-1', () => true, 'other', 31_000),
      suspended,
    );
  }
});

t.test('only its owner, and only in its state, ends what it began', async (t) => {
  t.equal(paused(pausing, 'shop-1', 'other'), pausing);
  t.equal(notPaused(pausing, 'shop-1', 'other', true), pausing);
  t.equal(paused(resuming, 'shop-1', 'me'), resuming);
  t.equal(resumed(resuming, 'shop-1', { owner: 'other', user: 'other' }, 0), resuming);
  t.equal(resumed(asleep, 'shop-1', { owner: 'me', user: 'me' }, 0), asleep);
  t.equal(startResume(pausing, 'shop-1', me, 0), pausing);
  t.equal(startResume(resuming, 'shop-1', { owner: 'other' }, 0), resuming, 'of a herd one resumes it');
  t.equal(resumeFailed(resuming, 'shop-1', 'other', 0), resuming);
});

t.test('what cannot be frozen runs on and is not tried again; what cannot be resumed ends', async (t) => {
  t.same(notPaused(pausing, 'shop-1', 'me', true), testDeployment({ unpausable: true }));
  t.same(notPaused(pausing, 'shop-1', 'me', false), testDeployment({}), 'too late is no failure');
  const failed = resumeFailed(resuming, 'shop-1', 'me', 51_000);
  t.same(failed, testDeployment({ state: 'draining', end: { reason: 'resume_failed', since: 51_000 } }));
  t.equal(room(failed, app, 51_000), 1, 'and another may boot at once');
});

t.test('a node of another host asks one of its host, and the first that hears it does it', async (t) => {
  const asked = startResume(asleep, 'shop-1', { askedBy: 'far' }, 50_000);
  t.match(findInstance(asked, 'shop-1'), { state: 'resuming', askedBy: 'far', deadlineAt: 60_000 });
  t.same(hostsToAct(asked), ['here']);
  const taken = takeSuspension(asked, 'shop-1', 'near', 50_100);
  t.match(findInstance(taken, 'shop-1'), { owner: 'near', askedBy: 'far', deadlineAt: 70_100 });
  t.same(hostsToAct(taken), []);
  t.equal(takeSuspension(taken, 'shop-1', 'late', 50_200), taken);
  t.same(hostsToAct(startPause(testDeployment({}), 'shop-1', app, { askedBy: 'far' }, 30_000)), ['here']);
});

t.test('what a dead node was pausing counts as paused only when its runtime can no longer freeze it', async (t) => {
  const gone = () => true;
  t.equal(settleSuspension(pausing, 'shop-1', gone, 49_999), pausing);
  t.same(settleSuspension(pausing, 'shop-1', gone, 50_000), asleep);
  t.equal(mayFreeze(findInstance(pausing, 'shop-1') as Instance, 35_000), true);
  t.equal(mayFreeze(findInstance(pausing, 'shop-1') as Instance, 35_001), false);
});

t.test('what a dead node was resuming is to be resumed again at once; what nobody took up is as before', async (t) => {
  t.equal(settleSuspension(resuming, 'shop-1', noneGone, 69_999), resuming);
  t.same(
    settleSuspension(resuming, 'shop-1', () => true, 50_001),
    asleep,
  );
  t.same(settleSuspension(resuming, 'shop-1', noneGone, 70_000), asleep);
  const asked = startResume(asleep, 'shop-1', { askedBy: 'far' }, 50_000);
  t.same(settleSuspension(asked, 'shop-1', noneGone, 60_000), asleep);
  const askedToPause = startPause(testDeployment({}), 'shop-1', app, { askedBy: 'far' }, 30_000);
  t.same(settleSuspension(askedToPause, 'shop-1', noneGone, 40_000), testDeployment({}));
});

t.test('a suspended instance drains without users, so that it can be terminated at once, and not before', async (t) => {
  for (const suspended of [pausing, asleep, resuming]) {
    t.equal(startTerminate(suspended, 'shop-1', { owner: 'me', reason: 'idle', stopTimeoutMs: 1 }, 0), suspended);
    const drained = startDrain(suspended, 'shop-1', 'idle', 60_000);
    t.same(drained, testDeployment({ state: 'draining', end: { reason: 'idle', since: 60_000 } }));
    t.same(hostsToAct(drained), ['here']);
    for (const end of [stopInstances, drainInstances, restartInstances])
      t.equal(stateOf(end(suspended, 60_000)), 'draining', end.name);
  }
});

t.test('an operator wakes a paused app by resuming it', async (t) => {
  const woken = wake(asleep, app, { id: 'shop-2', host: 'here' }, 60_000);
  t.match(woken.instances, [{ id: 'shop-1', state: 'resuming' }]);
  t.equal(wake(woken, app, { id: 'shop-2', host: 'here' }, 60_000), woken);
});

t.test('it counts against scale.max, but not for scale.min, which wakes it instead of a boot', async (t) => {
  const kept = { ...app, scale: { min: 1, max: 1 } };
  t.equal(room(asleep, kept, 60_000), 0);
  t.same(nextUpkeep(asleep, kept, 60_000), { kind: 'resume', id: 'shop-1' });
  t.equal(nextUpkeep(resuming, kept, 60_000), undefined);
  t.equal(nextUpkeep(asleep, app, 60_000), undefined);
});

t.test(
  'the schedule knows when to pause, when to settle, and when a paused one has been idle for too long',
  async (t) => {
    t.equal(nextDueAt(testDeployment({}), app), 30_000);
    t.equal(nextDueAt(pausing, app), 50_000);
    t.equal(nextDueAt(asleep, app), 600_000);
    t.equal(nextDueAt(asleep, { ...app, env: { A: 'b' } }), 0, 'another revision: it ends at once');
    t.equal(nextDueAt(testDeployment({ unpausable: true }), app), 600_000);
  },
);

function replacing(id: string): Partial<Instance> {
  return { id: 'shop-2', state: 'booting', owner: 'me', deadlineAt: 90_000, replaces: { id, reason: 'revision' } };
}
