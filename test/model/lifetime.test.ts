import fc from 'fast-check';
import t from 'tap';
import { expiresAt, outlived, outlivedAt } from '../../src/model/lifetime.js';
import { testApp } from '../fixtures/app.js';
import { testInstance } from '../fixtures/deployment.js';

const app = testApp({ maxLifetimeMs: 100_000 });

t.test('an instance expires at its maximum lifetime or up to a tenth earlier, always at the same moment', async (t) => {
  fc.assert(
    fc.property(fc.string({ minLength: 1 }), fc.integer({ min: 0, max: 2 ** 40 }), (id, readyAt) => {
      const at = expiresAt(testInstance({ id, readyAt }), app);
      return (
        at > readyAt + 90_000 - 1 && at <= readyAt + 100_000 && at === expiresAt(testInstance({ id, readyAt }), app)
      );
    }),
  );
  t.pass();
});

t.test('a fleet that became ready at once expires evenly over a tenth of the lifetime', async (t) => {
  const tenths = Array.from({ length: 10 }, () => 0);
  for (let index = 0; index < 10_000; index += 1) {
    const at = expiresAt(testInstance({ id: `shop-${index.toString(16).padStart(12, '0')}` }), app);
    tenths[Math.min(9, Math.floor((at - 90_000) / 1_000))]! += 1;
  }
  for (const [tenth, count] of tenths.entries()) t.ok(count > 850 && count < 1_150, `${count} in part ${tenth}`);
});

t.test('another revision outlives an instance at once, other settings do not', async (t) => {
  const young = testInstance({ readyAt: 50 });
  t.equal(outlived(young, app, 100), undefined);
  const changed = { ...app, env: { GREETING: 'new' } };
  t.equal(outlived(young, changed, 100), 'revision');
  t.equal(outlivedAt(young, changed), 0);
  t.equal(outlived(young, { ...app, idleTtlMs: 1, drainTimeoutMs: 1, scale: { min: 1, max: 9 } }, 100), undefined);
  t.equal(outlived(young, { ...app, maxLifetimeMs: 10 }, 100), 'lifetime', 'a shorter lifetime counts at once');
});
