import type { AppUsage, Cmdb, UsageQuery } from '../../../src/cmdb/cmdb.js';
import { addInstance, confirmGone } from '../../../src/model/deployment.js';
import { testApp } from '../../fixtures/app.js';
import { testInstance } from '../../fixtures/deployment.js';
import { app, type StoreTest } from './store.js';

// Days far ahead, as a store may expire what is past by its own clock.
const noon = Date.parse('2099-05-10T12:00:00Z');
const hour = 3_600_000;
const week = { from: '2099-05-07', to: '2099-05-13' };

async function usage(cmdb: Cmdb, query: Partial<UsageQuery> = {}): Promise<AppUsage[]> {
  const found: AppUsage[] = [];
  for await (const each of cmdb.usage({ ...week, ...query })) found.push(each);
  return found;
}

/** Counts by app and day. */
async function counts(cmdb: Cmdb, query: Partial<UsageQuery> = {}) {
  const rows = (await usage(cmdb, query)).map(({ app, days }) => [
    app,
    Object.fromEntries([...days].map(([day, row]) => [day, row.counts])),
  ]);
  return Object.fromEntries(rows) as Record<string, Record<string, Record<string, number>>>;
}

const use = (name: string, requests: number, day = '2099-05-10') => ({
  ...{ app: name, labels: { of: name }, day, counts: { requests } },
});

export function usageConformance(test: StoreTest): void {
  test('what an instance ran is counted by the change that removes it, day by day', async (t, _cmdb, store) => {
    const cmdb = store.openAt(() => noon + hour);
    await cmdb.apply({ put: [testApp({ ...app, labels: { customer: 'c1' } })], remove: [] });
    await cmdb.update('shop', (current) =>
      addInstance(current, testInstance({ startedAt: noon - 14 * hour, users: {} })),
    );
    t.match(await usage(cmdb), [{ app: 'shop', record: { deployment: { instances: [{ id: 'shop-1' }] } } }]);
    t.same(await counts(cmdb), { shop: {} });
    await cmdb.update('shop', (current) => confirmGone(current, 'shop-1'));
    await cmdb.update('shop', (current) => confirmGone(current, 'shop-1'));
    t.same(await counts(cmdb), {
      shop: { '2099-05-09': { runningMs: 2 * hour }, '2099-05-10': { runningMs: 13 * hour } },
    });
    const [found] = await usage(cmdb);
    t.same(found?.days.get('2099-05-10')?.labels, { customer: 'c1' });
  });

  test('what the runtime knows of an end counts more than when it was written', async (t, _cmdb, store) => {
    const cmdb = store.openAt(() => noon + 5 * hour);
    await cmdb.apply({ put: [app], remove: [] });
    await cmdb.update('shop', (current) => addInstance(current, testInstance({ startedAt: noon })));
    const ran = { id: 'shop-1', endedAt: noon + hour };
    await cmdb.update('shop', (current) => confirmGone(current, 'shop-1'), { ran });
    t.same(await counts(cmdb), { shop: { '2099-05-10': { runningMs: hour } } });
  });

  test('of changes that are made at once each instance is counted once', async (t, _cmdb, store) => {
    const handles = [1, 2, 3].map(() => store.openAt(() => noon + hour));
    const [cmdb] = handles as [Cmdb];
    await cmdb.apply({ put: [app], remove: [] });
    const ids = ['a', 'b', 'c', 'd'];
    for (const id of ids) {
      await cmdb.update('shop', (current) => addInstance(current, testInstance({ id, startedAt: noon })));
    }
    await Promise.all(
      handles.flatMap((handle) => ids.map((id) => handle.update('shop', (current) => confirmGone(current, id)))),
    );
    t.same(await counts(cmdb), { shop: { '2099-05-10': { runningMs: 4 * hour } } });
  });

  test('usage is added once for each receipt, whatever is added beside it', async (t, _cmdb, store) => {
    const [one, other] = [store.openAt(() => noon), store.openAt(() => noon)];
    await Promise.all([
      one.addUsage('here', 'r1', [use('shop', 1), use('blog', 10)]),
      other.addUsage('here', 'r2', [use('shop', 2)]),
      one.addUsage('here', 'r1', [use('shop', 1), use('blog', 10)]),
      other.addUsage('there', 'r3', [use('shop', 4), use('shop', 8, '2099-05-11')]),
    ]);
    await other.addUsage('here', 'r1', [use('shop', 1), use('blog', 10)]);
    t.same(await counts(one), {
      blog: { '2099-05-10': { requests: 10 } },
      shop: { '2099-05-10': { requests: 7 }, '2099-05-11': { requests: 8 } },
    });
  });

  test('usage is told of the days asked for, by name, also of apps that are gone', async (t, _cmdb, store) => {
    const cmdb = store.openAt(() => noon);
    await cmdb.addUsage('here', 'r', [use('a', 1), use('b', 2, '2099-05-09'), use('c', 3), use('d.e', 4)]);
    t.same(Object.keys(await counts(cmdb)), ['a', 'b', 'c', 'd.e']);
    t.same(Object.keys(await counts(cmdb, { after: 'a' })), ['b', 'c', 'd.e']);
    t.same(await counts(cmdb, { app: 'c' }), { c: { '2099-05-10': { requests: 3 } } });
    t.same(await counts(cmdb, { app: 'none' }), { none: {} });
    t.same(await counts(cmdb, { from: '2099-05-10', to: '2099-05-10', app: 'b' }), { b: {} });
    t.same(Object.keys(await counts(cmdb, { from: '2099-05-10' })), ['a', 'c', 'd.e']);
    t.equal((await usage(cmdb))[0]?.record, undefined);
  });

  test('usage is kept for as many days as the store is told', async (t, _cmdb, store) => {
    let now = noon;
    const cmdb = store.openAt(() => now);
    await cmdb.addUsage('here', 'r1', [use('old', 1, '2099-05-07'), use('shop', 2, '2099-05-08'), use('idle', 3)]);
    t.same(Object.keys(await counts(cmdb)), ['idle', 'shop'], 'what is too old already is not written');
    now += 3 * 24 * hour;
    await cmdb.addUsage('here', 'r2', [use('shop', 4, '2099-05-13')]);
    t.same(Object.keys(await counts(cmdb)), ['shop']);
  });
}
