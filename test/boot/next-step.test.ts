import t from 'tap';
import { nextStep } from '../../src/boot/next-step.js';
import { RequestError } from '../../src/model/errors.js';
import { testApp } from '../fixtures/app.js';
import { testDeployment } from '../fixtures/deployment.js';

const app = testApp({ scale: { min: 0, max: 1 } });
const none = new Set<string>();

t.test('an app without instances boots', async (t) => {
  t.same(nextStep(testDeployment(), app, none, 0), { kind: 'boot' });
});

t.test('a ready instance that this node does not use yet is used', async (t) => {
  t.same(nextStep(testDeployment({}), app, none, 0), { kind: 'use', instanceId: 'shop-1' });
});

t.test('instances that are full, or boot, are waited for', async (t) => {
  t.same(nextStep(testDeployment({}), app, new Set(['shop-1']), 0), { kind: 'wait' });
  t.same(nextStep(testDeployment({ state: 'booting' }), app, none, 0), { kind: 'wait' });
});

t.test('while the breaker is open the answer is the failure itself, with the time left', async (t) => {
  const breaker = { failures: 2, retryAt: 5_000, code: 'boot_timeout' as const, message: 'exit code 1' };
  const step = nextStep({ ...testDeployment(), breaker }, app, none, 2_500);
  if (step.kind !== 'refuse') return t.fail(step.kind);
  t.match(step.error, { code: 'boot_timeout', retryAfterS: 3 });
  t.ok(step.error instanceof RequestError);
  t.notMatch(step.error.message, /exit code/, 'the inside is not told to clients');
  t.same(nextStep({ ...testDeployment(), breaker }, app, none, 5_000), { kind: 'boot' });
});

t.test('a wall clock that stepped back cannot keep the breaker open for longer than a minute', async (t) => {
  const breaker = { failures: 1, retryAt: 10_000_000, code: 'boot_failed' as const, message: '' };
  const step = nextStep({ ...testDeployment(), breaker }, app, none, 0);
  t.match(step, { kind: 'refuse', error: { retryAfterS: 60 } });
});
