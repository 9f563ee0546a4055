import fc from 'fast-check';
import t from 'tap';
import { registerUser } from '../../src/model/users.js';
import { endForMemory, idleInstances, type IdleView } from '../../src/terminate/memory-policy.js';
import { testApp } from '../fixtures/app.js';
import { testDeployment } from '../fixtures/deployment.js';

const view: IdleView = { host: 'here', now: 100_000, idleSince: () => undefined };
const termination = { owner: 'me', stopTimeoutMs: 1_000 };

function record(name: string, min: number, ...instances: Parameters<typeof testDeployment>) {
  const app = testApp({ name, scale: { min, max: 10 } });
  return { app, removed: false, deployment: { ...testDeployment(...instances), app: name }, version: 'v' };
}

t.test('idle instances of this host are named from the longest idle on, whatever app they are of', async (t) => {
  const shop = record(
    'shop',
    0,
    { id: 'shop-1', lastActiveAt: 5_000 },
    { id: 'shop-2', lastActiveAt: 1_000 },
    { id: 'shop-3', lastActiveAt: 500, host: 'elsewhere' },
    { id: 'shop-4', lastActiveAt: 500, state: 'booting' },
    { id: 'shop-5', lastActiveAt: 500, users: { other: { since: 0 } } },
    { id: 'shop-6', lastActiveAt: 99_500 },
  );
  const blog = record('blog', 0, { id: 'blog-1', lastActiveAt: 2_000 });
  t.same(
    idleInstances([shop, blog], view).map(({ id }) => id),
    ['shop-2', 'blog-1', 'shop-1'],
  );
});

t.test('what only this node uses, and has nothing under way to, is idle since it says', async (t) => {
  const used = record('shop', 0, { id: 'shop-1', users: { me: { since: 0 } } }, { id: 'shop-2', lastActiveAt: 70_000 });
  const idleSince: IdleView['idleSince'] = (_app, { id }) => (id === 'shop-1' ? 60_000 : undefined);
  t.same(idleInstances([used], { ...view, idleSince }), [
    { app: 'shop', id: 'shop-1', idleSince: 60_000 },
    { app: 'shop', id: 'shop-2', idleSince: 70_000 },
  ]);
});

t.test('an instance that is in use again, or one of the last scale.min, is not ended', async (t) => {
  const { app, deployment } = record('shop', 0, { id: 'shop-1' });
  const used = registerUser(deployment, 'shop-1', 'other', 0);
  t.equal(endForMemory(used, app, 'shop-1', termination, 1), used);
  const kept = { ...app, scale: { min: 1, max: 1 } };
  t.equal(endForMemory(deployment, kept, 'shop-1', termination, 1), deployment);
  t.match(endForMemory(deployment, app, 'shop-1', termination, 1).instances[0], {
    state: 'terminating',
    owner: 'me',
    end: { reason: 'memory' },
  });
});

t.test('however many are ended, scale.min ready ones are left and none in use goes', async () => {
  const instance = fc.record({
    lastActiveAt: fc.integer({ min: 0, max: 100_000 }),
    used: fc.boolean(),
    here: fc.boolean(),
    state: fc.constantFrom('ready' as const, 'booting' as const),
  });
  fc.assert(
    fc.property(fc.array(instance, { maxLength: 8 }), fc.integer({ min: 0, max: 4 }), (drawn, min) => {
      const given = record(
        'shop',
        min,
        ...drawn.map(({ lastActiveAt, used, here, state }, index) => ({
          id: `shop-${index}`,
          lastActiveAt,
          state,
          host: here ? 'here' : 'elsewhere',
          users: used ? { other: { since: 0 } } : {},
        })),
      );
      const ready = drawn.filter(({ state }) => state === 'ready').length;
      const ended = idleInstances([given], view).reduce(
        (current, { id }) => endForMemory(current, given.app, id, termination, view.now),
        given.deployment,
      );
      const left = ended.instances.filter(({ state }) => state === 'ready').length;
      if (left < Math.min(ready, min)) throw new Error(`${left} of ${ready} are left`);
      for (const { id, state, users, host } of ended.instances) {
        if (state === 'terminating' && (Object.keys(users).length > 0 || host !== 'here'))
          throw new Error(`${id} ended`);
      }
    }),
  );
});

t.test('paused instances end for their memory before others of their app, whatever scale.min says', async (t) => {
  const shop = record(
    'shop',
    1,
    { id: 'shop-1', lastActiveAt: 900 },
    { id: 'shop-2', state: 'paused', lastActiveAt: 1_000 },
  );
  t.same(
    idleInstances([shop], view).map(({ id }) => id),
    ['shop-2'],
  );
  const ended = endForMemory(shop.deployment, shop.app, 'shop-2', termination, 1);
  t.match(ended.instances[1], { state: 'terminating', end: { reason: 'memory' } });
});
