import type { AppEdit, Cmdb, FoundApp, PutOrigin } from '../../../src/cmdb/cmdb.js';
import type { App } from '../../../src/model/app.js';
import { addInstance } from '../../../src/model/deployment.js';
import { testApp } from '../../fixtures/app.js';
import { testInstance } from '../../fixtures/deployment.js';
import { app, names, ownerOf, type StoreTest } from './store.js';

const origin = { host: 'a', since: 10, api: { by: 'panel', written: { labels: { customer: 'c1' } } } };

function put(cmdb: Cmdb, put_: App = app, more: { dryRun?: boolean } = {}) {
  return cmdb.edit(put_.name, () => ({ app: put_, origin }), more);
}

function ofFile(more: Partial<PutOrigin> = {}) {
  return new Map([[app.name, { host: 'b', since: 20, changed: true, ...more }]]);
}

export function editsConformance(test: StoreTest): void {
  test('an app that an edit puts serves its domains, and keeps what was written of it', async (t, cmdb) => {
    const edited = await put(cmdb);
    t.match(edited, { before: undefined, conflicts: [] });
    t.match(await cmdb.find({ domain: 'shop.example' }), { app, removed: false, origin });
    const changed = await cmdb.edit('shop', (before) => {
      t.match(before, { app, origin });
      return { app: { ...app, domains: ['other.example'] }, origin };
    });
    t.match(changed.before, { app });
    t.equal(await ownerOf(cmdb, 'shop.example'), undefined);
    t.equal(await ownerOf(cmdb, 'other.example'), 'shop');
  });

  test('an edit is in the change log, and one that keeps, or is a dry run, is not', async (t, cmdb) => {
    const { position } = await cmdb.changes(undefined, AbortSignal.timeout(5_000));
    await put(cmdb, app, { dryRun: true });
    await cmdb.edit('shop', () => 'keep');
    await cmdb.edit('shop', () => 'remove');
    t.equal(await cmdb.find({ app: 'shop' }), undefined);
    t.same((await cmdb.changes(position, AbortSignal.timeout(100))).changes, []);
    await put(cmdb);
    t.same((await cmdb.changes(position, AbortSignal.timeout(5_000))).changes, [{ app: 'shop' }]);
  });

  test('what an edit throws is passed on, and nothing is stored', async (t, cmdb) => {
    const refuse = (): AppEdit => {
      throw new Error('not so');
    };
    await t.rejects(cmdb.edit('shop', refuse), { message: 'not so' });
    await t.rejects(cmdb.edit('shop', refuse, { dryRun: true }), { message: 'not so' });
    await t.rejects(
      cmdb.edit('shop', () => ({ app: { ...app, domains: ['a\n'] }, origin })),
      RangeError,
    );
    t.same(await names(cmdb, 'all'), []);
  });

  test('a domain of another app is a conflict, also in a dry run, and changes nothing', async (t, cmdb) => {
    await put(cmdb);
    const other = testApp({ name: 'other', domains: ['own.example', 'shop.example'] });
    const conflicts = [{ domain: 'shop.example', wantedBy: 'other', ownedBy: 'shop' }];
    for (const dryRun of [true, false]) t.match(await put(cmdb, other, { dryRun }), { conflicts });
    t.equal(await cmdb.find({ app: 'other' }), undefined);
    t.equal(await ownerOf(cmdb, 'own.example'), undefined);
  });

  test('no file replaces or removes what an edit put, be it an operator’s or a customer’s, older or newer', async (t, cmdb) => {
    await put(cmdb);
    const conflict = [{ wantedBy: 'shop', heldBy: 'a', putBy: 'panel' }];
    const different = { ...app, idleTtlMs: 5 };
    for (const more of [{}, { since: 5, changed: false }, { customer: '/srv/c1/app.yaml' }, { host: 'a' }]) {
      for (const wanted of [app, different])
        t.same(await cmdb.apply({ put: [wanted], remove: [], origins: ofFile(more) }), conflict);
      t.same(await cmdb.apply({ put: [], remove: ['shop'], origins: ofFile(more) }), []);
      t.match(await cmdb.find({ domain: 'shop.example' }), { app, origin });
    }
  });

  test('an app of a file is found with its origin, and a removed one as removed', async (t, cmdb) => {
    await cmdb.apply({ put: [app], remove: [], origins: ofFile() });
    const seen: FoundApp[] = [];
    const look = (before: FoundApp) => {
      seen.push(before);
      return 'keep' as const;
    };
    await cmdb.edit('shop', look);
    t.match(seen.at(-1), { origin: { host: 'b' } });
    await cmdb.update('shop', (current) => addInstance(current, testInstance()));
    await cmdb.edit('shop', () => 'remove');
    await cmdb.edit('shop', look);
    t.match(seen.at(-1), { removed: true, deployment: { instances: [{ id: 'shop-1' }] } });
    t.equal(await ownerOf(cmdb, 'shop.example'), undefined);
    await put(cmdb);
    t.match(await cmdb.find({ domain: 'shop.example' }), { removed: false, origin });
  });

  test('a record that cannot be read is told from none, and can be removed', async (t, cmdb, store) => {
    await put(cmdb);
    await store.spoil('app', 'shop', 'forged');
    const found: FoundApp[] = [];
    await cmdb.edit('shop', (before) => {
      found.push(before);
      return 'keep';
    });
    t.same(found, ['unreadable']);
    await cmdb.edit('shop', () => 'remove');
    await put(cmdb);
    t.equal(await ownerOf(cmdb, 'shop.example'), 'shop');
  });

  test('of writers that race each sees what the one before it stored', async (t, cmdb, store) => {
    await put(cmdb, { ...app, idleTtlMs: 0 });
    const add = (handle: Cmdb) =>
      handle.edit('shop', (before) => {
        if (typeof before !== 'object') throw new Error('it is gone');
        return { app: { ...before.app, idleTtlMs: before.app.idleTtlMs + 1 }, origin };
      });
    await Promise.all(Array.from({ length: 4 }, () => store.open()).flatMap((handle) => [add(handle), add(handle)]));
    t.match(await cmdb.find({ app: 'shop' }), { app: { idleTtlMs: 8 } });
  });

  test('a list after a name is in the order of names', async (t, cmdb) => {
    for (const name of ['c', 'a', 'd', 'b']) await put(cmdb, testApp({ name, domains: [`${name}.example`] }));
    const listed: string[] = [];
    for await (const record of cmdb.list('all', 'a')) listed.push(record.app.name);
    t.same(listed, ['b', 'c', 'd']);
  });
}
