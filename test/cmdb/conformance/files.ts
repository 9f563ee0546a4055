import type { AppChange, Conflict } from '../../../src/cmdb/cmdb.js';
import { addInstance } from '../../../src/model/deployment.js';
import { testApp } from '../../fixtures/app.js';
import { testInstance } from '../../fixtures/deployment.js';
import { app, names, type StoreTest } from './store.js';

const other = testApp({ name: 'other', domains: ['other.example'] });

/** What a machine applies whose files hold these apps; `apps` absent: the same as before. */
function of(
  host: string,
  apps: readonly string[] | undefined,
  change: Partial<AppChange>,
  others: string[],
): AppChange {
  return { put: [], remove: [], ...change, files: { host, others, ...(apps && { apps }) } };
}

export function filesConformance(test: StoreTest): void {
  test('a machine does not remove what the files of another one that lives hold', async (t, cmdb) => {
    await cmdb.apply(of('a', ['shop', 'other'], { put: [app, other] }, []));
    await cmdb.apply(of('b', ['shop', 'other'], { put: [app, other] }, ['a']));
    const { position } = await cmdb.changes(undefined, AbortSignal.timeout(5_000));
    t.same(await cmdb.apply(of('b', [], { remove: ['shop', 'other'] }, ['a'])), []);
    t.same(await names(cmdb, 'all'), ['other', 'shop']);
    t.same((await cmdb.changes(position, AbortSignal.timeout(100))).changes, [], 'nothing was written');
    await cmdb.apply(of('a', ['other'], { remove: ['shop'] }, ['b']));
    t.same(await names(cmdb, 'all'), ['other'], 'nobody holds it any more');
    t.equal(await cmdb.find({ domain: 'shop.example' }), undefined);
  });

  test('what only a machine holds that does not live goes', async (t, cmdb) => {
    await cmdb.apply(of('a', ['shop'], { put: [app] }, []));
    await cmdb.apply(of('b', [], { remove: ['shop'] }, ['c']));
    t.same(await names(cmdb, 'all'), []);
  });

  test('an app of another name is not held by a machine that holds many', async (t, cmdb) => {
    const many = Array.from({ length: 2_000 }, (_, index) => `app-${index}`);
    await cmdb.apply(of('a', many, {}, []));
    await cmdb.apply({ put: [app], remove: [] });
    await cmdb.apply(of('b', [], { remove: ['shop'] }, ['a']));
    t.same(await names(cmdb, 'all'), []);
  });

  test('of an app in use that two machines let go at once one removes it', async (t, cmdb, store) => {
    for (let round = 0; round < 10; round += 1) {
      const [a, b] = [store.open(), store.open()];
      await a.apply(of('a', ['shop'], { put: [app] }, ['b']));
      await b.apply(of('b', ['shop'], { put: [app] }, ['a']));
      await cmdb.update('shop', (current) => addInstance(current, testInstance()));
      const leave = (host: string, from: string): Promise<Conflict[]> =>
        (host === 'a' ? a : b).apply(of(host, [], { remove: ['shop'] }, [from]));
      await Promise.all([leave('a', 'b'), leave('b', 'a')]);
      t.match(await cmdb.find({ app: 'shop' }), { removed: true });
    }
  });

  test('a machine that gets an app while another one lets it go keeps it', async (t, cmdb, store) => {
    for (let round = 0; round < 10; round += 1) {
      const [a, b] = [store.open(), store.open()];
      await a.apply(of('a', ['shop'], { put: [app] }, ['b']));
      await Promise.all([
        a.apply(of('a', [], { remove: ['shop'] }, ['b'])),
        b.apply(of('b', ['shop'], { put: [app] }, ['a'])),
      ]);
      t.same(await names(cmdb, 'all'), ['shop']);
      await b.apply(of('b', [], { remove: ['shop'] }, ['a']));
      t.same(await names(cmdb, 'all'), []);
    }
  });
}
