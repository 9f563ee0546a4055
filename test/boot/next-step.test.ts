import t from 'tap';
import { nextStep, type NextStep } from '../../src/boot/next-step.js';
import type { BootHost } from '../../src/boot/boot-hosts.js';
import type { Need, UseLoad } from '../../src/boot/scale-policy.js';
import type { Deployment } from '../../src/model/deployment.js';
import { RequestError } from '../../src/model/errors.js';
import { testApp } from '../fixtures/app.js';
import { testDeployment } from '../fixtures/deployment.js';

const app = testApp({ scale: { min: 0, max: 1 } });
const none = new Map<string, UseLoad>();
const full = new Map([['shop-1', { inflight: 100, target: 50 }]]);

/** Where the app has to boot. */
function at(host: BootHost | undefined): Pick<Need, 'hosts'> {
  return { hosts: { of: () => host, reaches: () => true } };
}

/** One request waits, and the app may boot here. */
function step(deployment: Deployment, uses: Need['uses'], now: number, overrides: Partial<Need> = {}): NextStep {
  return nextStep({ deployment, app, uses, waiting: 1, unclaimed: 0, me: 'me', ...at(undefined), ...overrides }, now);
}

t.test('an app without instances boots', async (t) => {
  t.same(step(testDeployment(), none, 0), { kind: 'boot', scaleOut: false });
});

t.test('a ready instance that this node does not use yet is used', async (t) => {
  t.same(step(testDeployment({}), none, 0), { kind: 'use', instanceId: 'shop-1' });
});

t.test('instances that are full, or boot, are waited for', async (t) => {
  t.same(step(testDeployment({}), full, 0), { kind: 'wait' });
  t.same(step(testDeployment({ state: 'booting' }), none, 0), { kind: 'wait' });
});

t.test('while the breaker is open the answer is the failure itself, with the time left', async (t) => {
  const breaker = { failures: 2, retryAt: 5_000, code: 'boot_timeout' as const, message: 'exit code 1' };
  const next = step({ ...testDeployment(), breaker }, none, 2_500);
  if (next.kind !== 'refuse') return t.fail(next.kind);
  t.match(next.error, { code: 'boot_timeout', retryAfterS: 3 });
  t.ok(next.error instanceof RequestError);
  t.notMatch(next.error.message, /exit code/, 'the inside is not told to clients');
  t.same(step({ ...testDeployment(), breaker }, none, 5_000), { kind: 'boot', scaleOut: false });
});

t.test('a wall clock that stepped back cannot keep the breaker open for longer than a minute', async (t) => {
  const breaker = { failures: 1, retryAt: 10_000_000, code: 'boot_failed' as const, message: '' };
  t.match(step({ ...testDeployment(), breaker }, none, 0), { kind: 'refuse', error: { retryAfterS: 60 } });
});

const wide = testApp({ scale: { min: 0, max: 3 }, concurrency: { target: 10, max: 20, clientShare: 0.75 } });
const load = (...inflight: number[]) =>
  new Map(inflight.map((count, index) => [`shop-${index + 1}`, { inflight: count, target: 10 }]));

t.test(
  'requests that wait for the first boot count as in flight: they boot as many as their number needs',
  async (t) => {
    const boots = (waiting: number) => {
      for (let unclaimed = 0; ; unclaimed += 1) {
        if (step(testDeployment(), none, 0, { app: wide, waiting, unclaimed }).kind !== 'boot') return unclaimed;
      }
    };
    t.same([1, 10, 11, 20, 21, 1_000].map(boots), [1, 1, 2, 2, 3, 3]);
    t.same(step(testDeployment(), none, 0, { waiting: 1_000, unclaimed: 1 }), { kind: 'wait' }, 'scale.max is 1');
  },
);

t.test('above the target one more is booted while nobody waits; at the target and while one boots, none', async (t) => {
  const above = { app: wide, waiting: 0 };
  t.same(step(testDeployment({}), load(10), 0, above), { kind: 'wait' });
  t.same(step(testDeployment({}), load(11), 0, above), { kind: 'boot', scaleOut: true });
  t.same(step(testDeployment({}), load(11), 0, { ...above, unclaimed: 1 }), { kind: 'wait' });
  const booting = testDeployment({}, { id: 'shop-2', state: 'booting', owner: 'me' });
  t.same(step(booting, load(20), 0, above), { kind: 'wait' });
  const second = testDeployment({}, { id: 'shop-2' });
  t.same(step(second, load(20, 9), 0, above), { kind: 'wait' }, 'the second has room for what comes next');
  t.same(step(second, load(20, 11), 0, above), { kind: 'boot', scaleOut: true });
});

t.test('a ready instance that only others use is used before one is booted, once it is needed', async (t) => {
  const second = testDeployment({}, { id: 'shop-2' });
  t.same(step(second, load(10), 0, { app: wide, waiting: 0 }), { kind: 'wait' });
  t.same(step(second, load(11), 0, { app: wide, waiting: 0 }), { kind: 'use', instanceId: 'shop-2' });
});

t.test('while the breaker is open those who have an instance wait for it, and none is booted beside it', async (t) => {
  const breaker = { failures: 2, retryAt: 5_000, code: 'boot_failed' as const, message: 'exit code 1' };
  const beside = { ...testDeployment({}), breaker: { ...breaker, scaleOut: true } };
  t.same(step(beside, load(20), 0, { app: wide, waiting: 5 }), { kind: 'wait' });
  t.same(step(beside, load(20), 5_000, { app: wide, waiting: 5 }), { kind: 'boot', scaleOut: true });
  const alone = { ...testDeployment(), breaker: beside.breaker };
  t.same(
    step(alone, none, 0),
    { kind: 'boot', scaleOut: false },
    'that a second failed does not keep a first from booting',
  );
});

t.test('an app that is pinned to another machine boots there, and is refused at once where that is away', async (t) => {
  t.same(step(testDeployment(), none, 0, at({ host: 'a' })), { kind: 'boot', scaleOut: false, at: 'a' });
  const away = at({ host: 'a', problem: { message: 'The data is on a.', cause: 'start a' } });
  const breaker = { failures: 1, retryAt: 5_000, code: 'boot_timeout' as const, message: 'slow' };
  const next = step({ ...testDeployment(), breaker }, none, 0, away);
  if (next.kind !== 'refuse') return t.fail(next.kind);
  t.match(next.error, { code: 'boot_failed', message: 'The data is on a.', cause: 'start a', retryAfterS: 10 });
  t.same(step(testDeployment({}), none, 0, away), { kind: 'use', instanceId: 'shop-1' }, 'what runs is used');
  const wide = testApp({ scale: { min: 0, max: 3 } });
  t.same(step(testDeployment({}), full, 0, { ...away, app: wide }), { kind: 'wait' }, 'what serves goes on');
});

t.test('a boot that this node asked for takes as many requests as one of its own', async (t) => {
  const wide = testApp({ scale: { min: 0, max: 3 }, concurrency: { target: 10, max: 20, clientShare: 0.75 } });
  const asked = (askedBy: string) => testDeployment({ state: 'booting', host: 'a', askedBy });
  const elsewhere = at({ host: 'a' });
  t.same(step(asked('me'), none, 0, { app: wide, ...elsewhere, waiting: 10 }), { kind: 'wait' });
  t.same(step(asked('other'), none, 0, { app: wide, ...elsewhere, waiting: 10 }), {
    kind: 'boot',
    scaleOut: true,
    at: 'a',
  });
});

t.test('a place that is held back from those that wait is no room for them', async (t) => {
  const uses = load(7);
  const app = wide;
  t.same(step(testDeployment({}), uses, 0, { app }), { kind: 'wait' });
  t.same(step(testDeployment({}), uses, 0, { app, heldBack: true }), { kind: 'boot', scaleOut: true });
  t.same(step(testDeployment({}), uses, 0, { app, heldBack: true, unclaimed: 1 }), { kind: 'wait' });
  t.same(step(testDeployment({}), uses, 0, { app, heldBack: true, waiting: 0 }), { kind: 'wait' });
});

t.test('a paused instance is resumed before anything boots, by one node, unless nobody can reach it', async (t) => {
  const asleep = testDeployment({ state: 'paused' });
  t.same(step(asleep, none, 0), { kind: 'resume', instanceId: 'shop-1' });
  const two = { app: testApp({ scale: { min: 0, max: 2 } }) };
  t.same(step(asleep, none, 0, two), { kind: 'resume', instanceId: 'shop-1' });
  t.same(step(asleep, none, 0, { hosts: { of: () => undefined, reaches: () => false } }), { kind: 'wait' });
  for (const state of ['pausing', 'resuming'] as const)
    t.same(step(testDeployment({ state }), none, 0, two), { kind: 'wait' });
});

t.test('beyond the target of what is ready, a paused instance is resumed before a further one boots', async (t) => {
  const both = testDeployment({}, { id: 'shop-2', state: 'paused' });
  const scaled = { app: testApp({ scale: { min: 0, max: 3 } }) };
  t.same(step(both, full, 0, scaled), { kind: 'resume', instanceId: 'shop-2' });
});
