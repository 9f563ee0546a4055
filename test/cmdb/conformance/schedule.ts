import { addInstance, confirmGone, emptyDeployment } from '../../../src/model/deployment.js';
import { expiresAt } from '../../../src/model/lifetime.js';
import { registerUser } from '../../../src/model/users.js';
import { testApp } from '../../fixtures/app.js';
import { testInstance } from '../../fixtures/deployment.js';
import { app, type StoreTest } from './store.js';

export function scheduleConformance(test: StoreTest): void {
  test('an app that is due is handed to one caller and postponed', async (t, cmdb, store) => {
    const apps = Array.from({ length: 20 }, (_, index) =>
      testApp({ name: `app-${index}`, domains: [], idleTtlMs: 1_000 }),
    );
    await cmdb.apply({ put: apps, remove: [] });
    for (const { name } of apps) {
      await cmdb.update(name, (current) =>
        addInstance(current, testInstance({ id: `${name}-1`, lastActiveAt: 5_000 })),
      );
    }
    t.same(await cmdb.due(5_999, 100), []);
    const other = store.open();
    const handed = await Promise.all([cmdb.due(6_000, 100), other.due(6_000, 100), cmdb.due(6_000, 100)]);
    t.same(handed.flat().toSorted(), apps.map(({ name }) => name).toSorted());
    t.same(await cmdb.due(10_999, 100), []);
    t.equal((await cmdb.due(11_000, 7)).length, 7, 'no more than the limit');
  });

  test('a deadline that moved later is not handed out, one that moved earlier is', async (t, cmdb) => {
    await cmdb.apply({ put: [app], remove: [] });
    await cmdb.update('shop', (current) => addInstance(current, testInstance({ lastActiveAt: 0 })));
    await cmdb.update('shop', (current) => registerUser(current, 'shop-1', 'me', 5_000));
    t.same(await cmdb.due(10_000, 10), [], 'it is in use');
    const shorter = { ...app, maxLifetimeMs: 15_000 };
    await cmdb.apply({ put: [shorter], remove: [] });
    const end = expiresAt(testInstance({ readyAt: 0 }), shorter);
    t.same(await cmdb.due(end - 1, 10), []);
    t.same(await cmdb.due(end, 10), ['shop'], 'a shorter lifetime moved the schedule');
    await cmdb.update('shop', () => emptyDeployment('shop'));
    t.same(await cmdb.due(99_000_000, 10), [], 'nothing is due without instances');
  });

  test('an app that lacks instances of its scale.min is due, until it is removed', async (t, cmdb) => {
    const kept = { ...app, scale: { min: 1, max: 1 } };
    await cmdb.apply({ put: [kept], remove: [] });
    t.same(await cmdb.due(0, 10), ['shop'], 'as soon as it is added');
    await cmdb.update('shop', (current) => addInstance(current, testInstance({ lastActiveAt: 0 })));
    t.same(await cmdb.due(10_000, 10), [], 'it has what it needs');
    await cmdb.update('shop', (current) => confirmGone(current, 'shop-1'));
    t.same(await cmdb.due(10_000, 10), ['shop'], 'its instance died');
    await cmdb.update('shop', (current) => addInstance(current, testInstance()));
    await cmdb.apply({ put: [], remove: ['shop'] });
    await cmdb.update('shop', (current) => confirmGone(current, 'shop-1'));
    t.same(await cmdb.due(99_000_000, 10), []);
    t.equal(await cmdb.find({ app: 'shop' }), undefined);
  });

  test('deadlines that move while they are looked at are not lost', async (t, cmdb, store) => {
    const other = store.open();
    await cmdb.apply({ put: [app], remove: [] });
    for (let round = 0; round < 25; round += 1) {
      await cmdb.update('shop', () =>
        addInstance(emptyDeployment('shop'), testInstance({ lastActiveAt: 0, users: { me: { since: 0 } } })),
      );
      // The entry is early; one caller moves it later while the other makes it due.
      await Promise.all([
        cmdb.due(11_000, 10),
        other.update('shop', () => addInstance(emptyDeployment('shop'), testInstance({ lastActiveAt: 2_000 }))),
      ]);
      t.same(await cmdb.due(17_000, 10), ['shop']);
      await cmdb.update('shop', () => emptyDeployment('shop'));
      await cmdb.due(99_000, 10);
    }
  });

  test('what is left of a removed app stays due, whatever changes of it', async (t, cmdb) => {
    await cmdb.apply({ put: [app], remove: [] });
    await cmdb.update('shop', (current) => addInstance(current, testInstance({ lastActiveAt: 50_000 })));
    await cmdb.apply({ put: [], remove: ['shop'] });
    await cmdb.update('shop', (current) => registerUser(current, 'shop-1', 'me', 60_000));
    t.same(await cmdb.due(100, 10), ['shop']);
    await cmdb.update('shop', (current) => registerUser(current, 'shop-1', 'you', 60_000));
    t.same(await cmdb.due(5_099, 10), []);
    t.same(await cmdb.due(5_100, 10), ['shop']);
  });

  test('a shorter TTL that comes while an instance does is not missed', async (t, cmdb, store) => {
    const other = store.open();
    for (let round = 0; round < 25; round += 1) {
      await cmdb.apply({ put: [app], remove: [] });
      await Promise.all([
        cmdb.update('shop', (current) => addInstance(current, testInstance({ lastActiveAt: 5_000 }))),
        other.apply({ put: [{ ...app, idleTtlMs: 1_000 }], remove: [] }),
      ]);
      t.same(await cmdb.due(6_000, 10), ['shop']);
      await cmdb.update('shop', () => emptyDeployment('shop'));
      await cmdb.due(99_000_000, 10);
    }
  });
}
