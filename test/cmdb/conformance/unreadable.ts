import { addInstance, bootSucceeded, claimBoot, confirmGone } from '../../../src/model/deployment.js';
import { testApp } from '../../fixtures/app.js';
import { testInstance } from '../../fixtures/deployment.js';
import { app, claim, names, session, spoilSigned, type StoreTest } from './store.js';

export function unreadableConformance(test: StoreTest): void {
  test('a record that cannot be read is reported and skipped, and can be written over', async (t, cmdb, store) => {
    const other = testApp({ name: 'other', domains: ['other.example'] });
    await cmdb.apply({ put: [app, other], remove: [] });
    await cmdb.update('shop', (current) =>
      bootSucceeded(
        claimBoot(current, app, claim, 1),
        'shop-1',
        { address: { host: 'h', port: 1 }, boot: {}, user: 'me' },
        2,
      ),
    );
    for (const garbage of [
      'not json',
      '{"v":99}',
      '{"v":1,"version":"x","deployment":{"app":"shop","instances":[{}]}}',
    ]) {
      store.unreadable.length = 0;
      await spoilSigned(store, 'deployment', 'shop', garbage);
      t.match(await cmdb.find({ app: 'shop' }), { deployment: { instances: [] } }, garbage);
      t.match(store.unreadable, [/deployment shop/]);
    }
    const { deployment } = await cmdb.update('shop', (current) => addInstance(current, testInstance()));
    t.equal(deployment.instances.length, 1);
    await spoilSigned(store, 'app', 'other', '{"v":1}');
    store.unreadable.length = 0;
    t.equal(await cmdb.find({ domain: 'other.example' }), undefined);
    t.same(await names(cmdb, 'all'), ['shop']);
    t.match(store.unreadable, [/app other/, /app other/]);
    await cmdb.apply({ put: [other], remove: [] });
    t.equal((await cmdb.find({ domain: 'other.example' }))?.app.name, 'other');
  });

  test('an app that cannot be read can be removed by its name, and another may have its domains', async (t, cmdb, store) => {
    const heir = testApp({ name: 'heir', domains: ['shop.example'] });
    for (const garbage of ['not json', '{"v":99}', '{"v":1}']) {
      await cmdb.apply({ put: [app], remove: [] });
      await spoilSigned(store, 'app', 'shop', garbage);
      t.same(await cmdb.apply({ put: [heir], remove: ['shop'] }), []);
      t.equal((await cmdb.find({ domain: 'shop.example' }))?.app.name, 'heir');
      t.same(await names(cmdb, 'all'), ['heir']);
      t.same(await cmdb.apply({ put: [app], remove: ['heir'] }), []);
    }
  });

  test('what runs of an app that could not be read drains when it is removed', async (t, cmdb, store) => {
    await cmdb.apply({ put: [app], remove: [] });
    await cmdb.update('shop', (current) => addInstance(current, testInstance()));
    await spoilSigned(store, 'app', 'shop', '{"v":99}');
    await cmdb.apply({ put: [], remove: ['shop'] });
    t.match(await cmdb.find({ app: 'shop' }), { removed: true, deployment: { instances: [{ id: 'shop-1' }] } });
    t.same(await cmdb.due(0, 10), ['shop'], 'it is due at once');
    await cmdb.update('shop', (current) => confirmGone(current, 'shop-1'));
    t.equal(await cmdb.find({ app: 'shop' }), undefined);
    await cmdb.apply({ put: [app], remove: [] });
    t.equal((await cmdb.find({ domain: 'shop.example' }))?.app.name, 'shop');
  });

  test('an app that cannot be read outlives its last instance', async (t, cmdb, store) => {
    await cmdb.apply({ put: [app], remove: [] });
    const text = '{"v":99,"of":"a newer version"}';
    await cmdb.update('shop', (current) => addInstance(current, testInstance()));
    await spoilSigned(store, 'app', 'shop', text);
    await cmdb.update('shop', (current) => confirmGone(current, 'shop-1'));
    store.unreadable.length = 0;
    t.equal(await cmdb.find({ app: 'shop' }), undefined);
    t.match(store.unreadable, [/app shop/], 'its record is still there');
  });

  test('the domain of an app that cannot be read does not lead to the wildcard above it', async (t, cmdb, store) => {
    const exact = testApp({ name: 'www', domains: ['www.shop.example'] });
    await cmdb.apply({ put: [app, exact], remove: [] });
    await spoilSigned(store, 'app', 'www', '{"v":99}');
    t.equal(await cmdb.find({ domain: 'www.shop.example' }), undefined);
    t.equal((await cmdb.find({ domain: 'w.shop.example' }))?.app.name, 'shop');
  });

  test('instances found of an app that is gone drain', async (t, cmdb, store) => {
    await cmdb.update('shop', (current) => addInstance(current, testInstance()));
    t.match(await cmdb.find({ app: 'shop' }), { removed: true, app: { name: 'shop', domains: [] } });
    t.same(await cmdb.due(0, 10), ['shop']);
    await cmdb.update('shop', (current) => confirmGone(current, 'shop-1'));
    t.same(await store.remnants(), []);
  });

  test('a session that cannot be read is reported and skipped', async (t, cmdb, store) => {
    await cmdb.beat(session('good'));
    const texts = [
      'not json',
      '{"v":99}',
      '{"v":1,"incarnation":"bad"}',
      JSON.stringify(session('bad')),
      JSON.stringify({ v: 1, ...session('good') }),
    ];
    for (const text of texts) {
      store.unreadable.length = 0;
      await store.spoil('session', 'bad', text);
      const { sessions } = await cmdb.beat(session('good', 1));
      t.same(sessions, [session('good', 1)], text);
      t.match(store.unreadable, [/session bad/]);
    }
    await cmdb.beat(session('good', 2), ['bad']);
    store.unreadable.length = 0;
    await cmdb.beat(session('good', 3));
    t.same(store.unreadable, [], 'it can be revoked');
  });

  test('a deployment that cannot be read does not make its app an active one', async (t, cmdb, store) => {
    await cmdb.apply({ put: [app], remove: [] });
    await cmdb.update('shop', (current) => addInstance(current, testInstance()));
    await spoilSigned(store, 'deployment', 'shop', '{"v":99}');
    t.same(await names(cmdb, 'active'), []);
  });
}
