import type { AppRecord } from '../../../src/cmdb/cmdb.js';
import { addInstance, confirmGone } from '../../../src/model/deployment.js';
import { orderMaintenance } from '../../../src/model/maintenance.js';
import { testApp } from '../../fixtures/app.js';
import { testInstance } from '../../fixtures/deployment.js';
import { collect } from '../collect.js';
import { app, names, type StoreTest } from './store.js';

export function appsConformance(test: StoreTest): void {
  test('an app is found by its domains, exact ones first, wildcards one label deep, and by its name', async (t, cmdb) => {
    const exact = testApp({ name: 'www', domains: ['www.shop.example'] });
    t.same(await cmdb.apply({ put: [app, exact], remove: [] }), []);
    const nameOf = async (domain: string) => (await cmdb.find({ domain }))?.app.name;
    t.equal(await nameOf('shop.example'), 'shop');
    t.equal(await nameOf('any.shop.example'), 'shop');
    t.equal(await nameOf('www.shop.example'), 'www');
    t.equal(await nameOf('a.b.shop.example'), undefined);
    t.equal(await nameOf('example'), undefined);
    t.same((await cmdb.find({ app: 'shop' }))?.app, app);
    t.equal(await cmdb.find({ app: 'nobody' }), undefined);
  });

  test('apps that are stored as they are cost no write', async (t, cmdb) => {
    await cmdb.apply({ put: [app], remove: [] });
    const { position } = await cmdb.changes(undefined, AbortSignal.timeout(5_000));
    await cmdb.apply({ put: [app], remove: ['nobody'] });
    const stop = AbortSignal.timeout(100);
    t.same((await cmdb.changes(position, stop)).changes, []);
  });

  test('a removed app leaves its domains at once, and goes when its last instance has gone', async (t, cmdb) => {
    await cmdb.apply({ put: [app], remove: [] });
    await cmdb.update('shop', (current) => addInstance(current, testInstance()));
    await cmdb.apply({ put: [], remove: ['shop'] });
    t.equal(await cmdb.find({ domain: 'shop.example' }), undefined);
    t.match(await cmdb.find({ app: 'shop' }), { removed: true, deployment: { instances: [{ id: 'shop-1' }] } });
    t.same(await cmdb.due(0, 10), ['shop'], 'it is due at once');
    await cmdb.update('shop', (current) => confirmGone(current, 'shop-1'));
    t.equal(await cmdb.find({ app: 'shop' }), undefined);
    t.same(await names(cmdb, 'all'), []);
  });

  test('a removed app that comes back is as before', async (t, cmdb) => {
    await cmdb.apply({ put: [app], remove: [] });
    await cmdb.update('shop', (current) => addInstance(current, testInstance()));
    await cmdb.apply({ put: [], remove: ['shop'] });
    await cmdb.apply({ put: [app], remove: [] });
    t.match(await cmdb.find({ domain: 'shop.example' }), {
      removed: false,
      deployment: { instances: [{ id: 'shop-1' }] },
    });
  });

  test("an operator's maintenance goes with a removed app, though its instances still drain", async (t, cmdb) => {
    await cmdb.apply({ put: [app], remove: [] });
    const order = { ...app.maintenance, mode: 'page', by: 'admin', since: 1 } as const;
    await cmdb.update('shop', (current) => orderMaintenance(addInstance(current, testInstance()), order));
    await cmdb.apply({ put: [], remove: ['shop'] });
    await cmdb.apply({ put: [app], remove: [] });
    const { deployment } = (await cmdb.find({ app: 'shop' })) as AppRecord;
    t.match(deployment.instances, [{ id: 'shop-1' }]);
    t.equal(deployment.maintenance, undefined);
  });

  test('the list has all apps, or those with instances', async (t, cmdb) => {
    const sleeping = testApp({ name: 'sleeping', domains: ['sleeping.example'] });
    await cmdb.apply({ put: [app, sleeping], remove: [] });
    await cmdb.update('shop', (current) => addInstance(current, testInstance()));
    t.same(await names(cmdb, 'all'), ['shop', 'sleeping']);
    t.same(await names(cmdb, 'active'), ['shop']);
  });

  test('a thousand apps are applied and found', async (t, cmdb) => {
    const apps = Array.from({ length: 1_000 }, (_, index) =>
      testApp({ name: `app-${index}`, domains: [`${index}.example`] }),
    );
    const from = performance.now();
    t.same(await cmdb.apply({ put: apps, remove: [] }), []);
    t.comment(`1,000 apps applied in ${Math.round(performance.now() - from)} ms`);
    t.equal((await cmdb.find({ domain: '999.example' }))?.app.name, 'app-999');
    t.equal((await names(cmdb, 'all')).length, 1_000);
  });

  test('after it was closed, calls are refused, and closing again is harmless', async (t, cmdb) => {
    await cmdb.close();
    await cmdb.close();
    await t.rejects(cmdb.find({ app: 'shop' }), { code: 'cmdb_unavailable' });
    await t.rejects(
      cmdb.update('shop', (current) => current),
      { code: 'cmdb_unavailable' },
    );
  });

  test('a removed app leaves nothing behind, also when its last instance goes at the same time', async (t, cmdb, store) => {
    const other = store.open();
    for (let round = 0; round < 25; round += 1) {
      await cmdb.apply({ put: [app], remove: [] });
      await cmdb.update('shop', (current) => addInstance(current, testInstance()));
      await Promise.all([
        cmdb.apply({ put: [], remove: ['shop'] }),
        other.update('shop', (current) => confirmGone(current, 'shop-1')),
      ]);
      t.same(await store.remnants(), []);
    }
  });

  test('an app that comes back while it goes is whole', async (t, cmdb, store) => {
    const other = store.open();
    for (let round = 0; round < 25; round += 1) {
      await cmdb.apply({ put: [app], remove: [] });
      await Promise.all([
        cmdb.apply({ put: [], remove: ['shop'] }),
        other.apply({ put: [{ ...app, idleTtlMs: round }], remove: [] }),
      ]);
      const isThere = (await cmdb.find({ app: 'shop' })) !== undefined;
      t.same(await names(cmdb, 'all'), isThere ? ['shop'] : []);
      t.equal((await cmdb.find({ domain: 'shop.example' })) !== undefined, isThere);
      await cmdb.apply({ put: [], remove: ['shop'] });
      t.same(await store.remnants(), []);
    }
  });

  test('what no store can hold is refused with its name, before anything is written, and is not found', async (t, cmdb) => {
    const long = 'x'.repeat(3_000);
    for (const bad of [long, '', 'a\u0000b', 'é'.repeat(200)]) {
      await t.rejects(cmdb.apply({ put: [app, testApp({ name: bad })], remove: [] }), {
        name: 'RangeError',
        message: /app .* 1 to 255 bytes/,
      });
      await t.rejects(cmdb.apply({ put: [app, { ...app, domains: [bad] }], remove: [] }), {
        name: 'RangeError',
        message: /app shop: domain/,
      });
      await t.rejects(
        cmdb.update(bad, (current) => current),
        { name: 'RangeError' },
      );
      t.equal(await cmdb.find({ app: bad }), undefined);
      t.equal(await cmdb.find({ domain: bad }), undefined);
      t.same(await cmdb.apply({ put: [], remove: [bad] }), []);
    }
    t.same(await names(cmdb, 'all'), []);
    t.same(await cmdb.apply({ put: [app], remove: [] }), [], 'the store goes on');
  });

  test('many unchanged apps cost no write, and one changed among them one', async (t, cmdb) => {
    const apps = Array.from({ length: 1_200 }, (_, index) =>
      testApp({ name: `app-${index}`, domains: [`${index}.example`] }),
    );
    t.same(await cmdb.apply({ put: apps, remove: [] }), []);
    const { position } = await cmdb.changes(undefined, AbortSignal.timeout(5_000));
    const changed = apps.map((one, index) => (index === 777 ? { ...one, domains: ['new.example'] } : one));
    t.same(await cmdb.apply({ put: changed, remove: [] }), []);
    t.ok((await collect(cmdb, position, 1)).every(({ app: name }) => name === 'app-777'));
    t.equal((await cmdb.find({ domain: 'new.example' }))?.app.name, 'app-777');
    t.equal(await cmdb.find({ domain: '777.example' }), undefined);
  });
}
