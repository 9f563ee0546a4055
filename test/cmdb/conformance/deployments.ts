import type { Cmdb } from '../../../src/cmdb/cmdb.js';
import { addInstance, claimBoot, emptyDeployment } from '../../../src/model/deployment.js';
import { registerUser } from '../../../src/model/users.js';
import { testInstance } from '../../fixtures/deployment.js';
import { app, claim, session, spoilSigned, type StoreTest } from './store.js';

export function deploymentsConformance(test: StoreTest): void {
  test('an update stands when it resolves, and one that changes nothing writes nothing', async (t, cmdb) => {
    await cmdb.apply({ put: [app], remove: [] });
    const { deployment, version } = await cmdb.update('shop', (current, stored) =>
      stored ? claimBoot(current, stored, claim, 100) : current,
    );
    t.match(deployment.instances, [{ id: 'shop-1', state: 'booting' }]);
    t.match(await cmdb.find({ app: 'shop' }), { version, deployment });
    t.equal((await cmdb.update('shop', (current) => current)).version, version);
  });

  test('parallel updates from two handles lose nothing', async (t, cmdb, store) => {
    await cmdb.apply({ put: [app], remove: [] });
    await cmdb.update('shop', (current) => addInstance(current, testInstance()));
    const other = store.open();
    const users = Array.from({ length: 40 }, (_, index) => `user-${index}`);
    await Promise.all(
      users.map((user, index) =>
        (index % 2 === 0 ? cmdb : other).update('shop', (current) => registerUser(current, 'shop-1', user, index)),
      ),
    );
    const record = await cmdb.find({ app: 'shop' });
    t.same(Object.keys(record?.deployment.instances[0]?.users ?? {}).toSorted(), users.toSorted());
  });

  test('only one of many claims of a boot wins', async (t, cmdb, store) => {
    await cmdb.apply({ put: [app], remove: [] });
    const handles = [cmdb, store.open()];
    const outcomes = await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        const mine = { ...claim, id: `shop-${index}`, owner: `node-${index}` };
        const outcome = await (handles[index % 2] as Cmdb).update('shop', (current) =>
          claimBoot(current, app, mine, 1),
        );
        return outcome.deployment.instances.some(({ id }) => id === mine.id);
      }),
    );
    t.equal(outcomes.filter(Boolean).length, 1);
    t.equal((await cmdb.find({ app: 'shop' }))?.deployment.instances.length, 1);
  });

  test("a change that throws is its caller's fault, and writes nothing", async (t, cmdb) => {
    await cmdb.apply({ put: [app], remove: [] });
    const fault = new Error('a bug');
    const failing = cmdb.update('shop', () => {
      throw fault;
    });
    await t.rejects(failing, fault);
    t.match(await cmdb.find({ app: 'shop' }), { version: '' });
  });

  test('a defect while a record is read is thrown as it is, and the store works on', async (t, cmdb, store) => {
    await cmdb.apply({ put: [app], remove: [] });
    await cmdb.beat(session('me'));
    await store.spoil('app', 'shop', 'no record');
    await store.spoil('session', 'other', 'no record');
    for (const fault of [new TypeError('a bug'), new Error('a bug')]) {
      Object.assign(store.unreadable, {
        push() {
          throw fault;
        },
      });
      await t.rejects(cmdb.find({ app: 'shop' }), fault);
      await t.rejects(
        cmdb.update('shop', (current) => ({ ...current })),
        fault,
      );
      await t.rejects(cmdb.beat(session('me', 1)), fault);
    }
    await store.spoil('app', 'shop', undefined);
    await cmdb.apply({ put: [app], remove: [] });
    t.equal((await cmdb.find({ app: 'shop' }))?.app.name, 'shop');
    t.same((await cmdb.beat(session('me', 2), ['other'])).sessions, [session('me', 2)]);
  });

  test('updating an app that nobody stored is no failure', async (t, cmdb) => {
    const seen: unknown[] = [];
    const { deployment } = await cmdb.update('nobody', (current, stored) => {
      seen.push(stored);
      return current;
    });
    t.same(deployment, emptyDeployment('nobody'));
    t.same(seen, [undefined]);
  });

  test('a replacement under way and one that failed are kept as they are', async (t, cmdb, store) => {
    const failedRevision = {
      ...{ failures: 2, retryAt: 7, code: 'boot_timeout' as const, message: 'not ready' },
      ...{ revision: 'r2', replaces: 'shop-1' },
    };
    const replaces = { id: 'shop-1', reason: 'revision' as const };
    await cmdb.apply({ put: [app], remove: [] });
    const booting = testInstance({ id: 'shop-2', state: 'booting', replaces });
    await cmdb.update('shop', (current) => ({ ...addInstance(current, booting), failedRevision }));
    t.match((await store.open().find({ app: 'shop' }))?.deployment, { instances: [booting], failedRevision });
    t.same(store.unreadable, []);
  });

  test('an app stored before it could say whether its instances may overlap lets them', async (t, cmdb, store) => {
    await cmdb.apply({ put: [app], remove: [] });
    const { overlap: _unknown, ...older } = app;
    await spoilSigned(store, 'app', 'shop', JSON.stringify({ v: 1, app: older, removed: false }));
    t.equal((await cmdb.find({ app: 'shop' }))?.app.overlap, true);
    t.same(store.unreadable, []);
  });
}
