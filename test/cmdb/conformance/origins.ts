import type { AppChange, PutOrigin } from '../../../src/cmdb/cmdb.js';
import { addInstance } from '../../../src/model/deployment.js';
import { testInstance } from '../../fixtures/deployment.js';
import { app, type StoreTest } from './store.js';

/** The app with another content of each machine, told apart by a time. */
function from(host: string, since: number, changed = false, idleTtlMs = since): AppChange {
  const origin: PutOrigin = { host, since, changed };
  return { put: [{ ...app, idleTtlMs }], remove: [], origins: new Map([[app.name, origin]]) };
}

export function originsConformance(test: StoreTest): void {
  test('an app from a file keeps where it came from, and since when', async (t, cmdb) => {
    await cmdb.apply(from('a', 10));
    t.match(await cmdb.find({ domain: 'shop.example' }), { app: { idleTtlMs: 10 }, origin: { host: 'a', since: 10 } });
    for await (const record of cmdb.list('all')) t.match(record, { origin: { host: 'a', since: 10 } });
    await cmdb.update('shop', (current) => addInstance(current, testInstance()));
    t.match(await cmdb.find({ app: 'shop' }), { origin: { host: 'a', since: 10 } });
  });

  test('of two machines that apply their files the newest wins, in either order', async (t, cmdb) => {
    t.same(await cmdb.apply(from('a', 10)), []);
    t.same(await cmdb.apply(from('b', 20)), []);
    t.match(await cmdb.find({ app: 'shop' }), { app: { idleTtlMs: 20 }, origin: { host: 'b', since: 20 } });
    const { position } = await cmdb.changes(undefined, AbortSignal.timeout(5_000));
    t.same(await cmdb.apply(from('a', 10)), [], 'it is no conflict');
    t.match(await cmdb.find({ app: 'shop' }), { app: { idleTtlMs: 20 }, origin: { host: 'b', since: 20 } });
    t.same((await cmdb.changes(position, AbortSignal.timeout(100))).changes, [], 'nothing was written');
  });

  test('of many machines that apply at once to an empty store the newest wins', async (t, cmdb, store) => {
    for (let round = 0; round < 10; round += 1) {
      const handles = Array.from({ length: 4 }, () => store.open());
      const times = [30, 10, 40, 20];
      await Promise.all(handles.map((handle, index) => handle.apply(from(`host-${index}`, times[index] as number))));
      t.match(await cmdb.find({ domain: 'shop.example' }), { app: { idleTtlMs: 40 }, origin: { host: 'host-2' } });
      await cmdb.apply({ put: [], remove: ['shop'] });
      t.same(await store.remnants(), []);
    }
  });

  test('one of the same moment wins on every machine', async (t, cmdb) => {
    await cmdb.apply(from('b', 10, false, 2));
    await cmdb.apply(from('a', 10, false, 1));
    t.match(await cmdb.find({ app: 'shop' }), { app: { idleTtlMs: 2 } });
    await cmdb.apply(from('c', 10, false, 3));
    t.match(await cmdb.find({ app: 'shop' }), { app: { idleTtlMs: 3 } });
  });

  test('a file that was changed replaces what is stored, and counts as newer, also where its clock is behind', async (t, cmdb) => {
    await cmdb.apply(from('a', 1_000));
    await cmdb.apply(from('b', 10, true));
    t.match(await cmdb.find({ app: 'shop' }), { app: { idleTtlMs: 10 }, origin: { host: 'b', since: 1_001 } });
    await cmdb.apply(from('a', 1_000));
    t.match(await cmdb.find({ app: 'shop' }), { app: { idleTtlMs: 10 } });
  });

  test('the same content of another machine costs no write', async (t, cmdb) => {
    await cmdb.apply(from('a', 10, false, 5));
    const { position } = await cmdb.changes(undefined, AbortSignal.timeout(5_000));
    await cmdb.apply(from('b', 20, false, 5));
    await cmdb.apply(from('b', 20, true, 5));
    await cmdb.apply({ put: [{ ...app, idleTtlMs: 5 }], remove: [] });
    t.same((await cmdb.changes(position, AbortSignal.timeout(100))).changes, []);
    t.match(await cmdb.find({ app: 'shop' }), { origin: { host: 'a', since: 10 } });
  });

  test('what is put without an origin replaces any, and is replaced by any', async (t, cmdb) => {
    await cmdb.apply(from('a', 10));
    await cmdb.apply({ put: [app], remove: [] });
    const record = await cmdb.find({ app: 'shop' });
    t.same(record?.app, app);
    t.equal(record?.origin, undefined);
    await cmdb.apply(from('a', 10));
    t.match(await cmdb.find({ app: 'shop' }), { app: { idleTtlMs: 10 }, origin: { host: 'a' } });
  });

  test('an app that was removed is put again, whatever it came from', async (t, cmdb) => {
    await cmdb.apply(from('a', 20));
    await cmdb.update('shop', (current) => addInstance(current, testInstance()));
    await cmdb.apply({ put: [], remove: ['shop'] });
    t.match(await cmdb.find({ app: 'shop' }), { removed: true });
    await cmdb.apply(from('b', 10));
    t.match(await cmdb.find({ domain: 'shop.example' }), { removed: false, origin: { host: 'b', since: 10 } });
  });

  const change = (
    app_: string,
    origin: Omit<PutOrigin, 'since' | 'changed'>,
    changed: boolean,
    since: number,
  ): AppChange => ({
    ...{ put: [{ ...app, name: app_, idleTtlMs: since }], remove: [] },
    origins: new Map([[app_, { since, changed, ...origin }]]),
  });

  test("a customer's file neither replaces nor removes an app of another machine that is not from the same file", async (t, cmdb) => {
    const customer = { host: 'b', customer: '/srv/c1/app.yaml' };
    const others: Omit<PutOrigin, 'since' | 'changed'>[] = [{ host: 'a' }, { host: 'a', customer: '/srv/c2/app.yaml' }];
    for (const other of others) {
      await cmdb.apply(change('shop', other, false, 10));
      for (const changed of [false, true]) {
        t.same(await cmdb.apply(change('shop', customer, changed, 5)), [{ wantedBy: 'shop', heldBy: 'a' }]);
        t.same(await cmdb.apply(change('shop', customer, changed, 20)), [{ wantedBy: 'shop', heldBy: 'a' }]);
      }
      const origins = new Map([['shop', { ...customer, since: 30, changed: false }]]);
      t.same(await cmdb.apply({ put: [], remove: ['shop'], origins }), []);
      t.match(await cmdb.find({ domain: 'shop.example' }), { app: { idleTtlMs: 10 }, origin: other });
      await cmdb.apply({ put: [], remove: ['shop'] });
    }
    await cmdb.apply({ put: [app], remove: [] });
    t.same(await cmdb.apply(change('shop', customer, true, 5)), [{ wantedBy: 'shop', heldBy: undefined }]);
  });

  test("a customer's file replaces what came from the same path of another machine, or from its own", async (t, cmdb) => {
    await cmdb.apply(change('shop', { host: 'a', customer: '/srv/c1/app.yaml' }, false, 10));
    t.same(await cmdb.apply(change('shop', { host: 'b', customer: '/srv/c1/app.yaml' }, true, 20)), []);
    t.match(await cmdb.find({ app: 'shop' }), { app: { idleTtlMs: 20 }, origin: { customer: '/srv/c1/app.yaml' } });
    t.same(await cmdb.apply(change('shop', { host: 'b', customer: '/srv/moved/app.yaml' }, true, 30)), []);
    t.match(await cmdb.find({ app: 'shop' }), { origin: { host: 'b', customer: '/srv/moved/app.yaml' } });
  });

  test("an operator's file has the app of a customer's, be it older or the same", async (t, cmdb) => {
    for (const since of [5, 20]) {
      await cmdb.apply(change('shop', { host: 'b', customer: '/srv/c1/app.yaml' }, true, 20));
      t.same(await cmdb.apply(change('shop', { host: 'a' }, false, since)), []);
      const record = await cmdb.find({ app: 'shop' });
      t.match(record, { app: { idleTtlMs: since }, origin: { host: 'a', since } });
      t.equal(record?.origin?.customer, undefined);
      await cmdb.apply({ put: [], remove: ['shop'] });
    }
  });

  test('a newer app that stays keeps its domains from others of the change', async (t, cmdb) => {
    await cmdb.apply(from('b', 20));
    const older = { ...app, domains: ['other.example'] };
    const heir = { ...app, name: 'heir', domains: ['shop.example'] };
    const origins = new Map(['shop', 'heir'].map((name) => [name, { host: 'a', since: 10, changed: false }]));
    t.same(await cmdb.apply({ put: [older, heir], remove: [], origins }), [
      { domain: 'shop.example', wantedBy: 'heir', ownedBy: 'shop' },
    ]);
    t.equal((await cmdb.find({ domain: 'shop.example' }))?.app.name, 'shop');
    t.equal(await cmdb.find({ domain: 'other.example' }), undefined);
  });
}
