import t from 'tap';
import { quietUser, registerUser } from '../../src/model/users.js';
import { expiresAt } from '../../src/model/lifetime.js';
import { nextDueAt } from '../../src/model/schedule.js';
import { testApp } from '../fixtures/app.js';
import { testDeployment, testInstance } from '../fixtures/deployment.js';

const app = testApp({ idleTtlMs: 1_000, maxLifetimeMs: 50_000, drainTimeoutMs: 7_000, scale: { min: 0, max: 3 } });

t.test('an app without instances is never due', async (t) => {
  t.equal(nextDueAt(testDeployment(), app), undefined);
});

t.test('an unused instance is due when its idle TTL has passed', async (t) => {
  t.equal(nextDueAt(testDeployment({ lastActiveAt: 300 }), app), 1_300);
});

t.test('a used instance is due when its lifetime ends', async (t) => {
  t.equal(
    nextDueAt(registerUser(testDeployment({ readyAt: 100 }), 'shop-1', 'me', 200), app),
    expiresAt(testInstance({ readyAt: 100 }), app),
  );
});

t.test('an instance held by a quiet user only is due after the idle TTL', async (t) => {
  const used = registerUser(testDeployment({}), 'shop-1', 'me', 200);
  t.equal(nextDueAt(quietUser(used, 'shop-1', 'me', 400), app), 1_400);
});

t.test('an instance that scale.min keeps is not due for idleness', async (t) => {
  const kept = { ...app, scale: { min: 1, max: 3 } };
  t.equal(nextDueAt(testDeployment({}), kept), expiresAt(testInstance(), kept));
});

t.test('a draining instance is due at once without users, at drainTimeout with them', async (t) => {
  const draining = { state: 'draining', end: { reason: 'lifetime', since: 100 } } as const;
  t.equal(nextDueAt(testDeployment(draining), app), 0);
  t.equal(nextDueAt(testDeployment({ ...draining, users: { me: { since: 1 } } }), app), 7_100);
});

t.test('owned states are due at their deadline', async (t) => {
  t.equal(nextDueAt(testDeployment({ state: 'booting', deadlineAt: 4_000 }), app), 4_000);
  t.equal(nextDueAt(testDeployment({ state: 'terminating', deadlineAt: 5_000 }), app), 5_000);
});

t.test('instances without an app are due at once', async (t) => {
  t.equal(nextDueAt(testDeployment({}), undefined), 0);
});
