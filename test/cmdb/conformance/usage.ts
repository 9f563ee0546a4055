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

/** Has an app run for some hours of a day. */
async function run(cmdb: Cmdb, name: string, hours: number, day = '2099-05-10'): Promise<void> {
  const startedAt = Date.parse(day);
  const ran = { id: name, endedAt: startedAt + hours * hour };
  await cmdb.update(name, (current) => addInstance(current, testInstance({ id: name, startedAt })));
  await cmdb.update(name, (current) => confirmGone(current, name), { ran });
}

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

  test('a day that is over keeps the labels that the app had on it, whichever it has when the instance leaves', async (t, _cmdb, store) => {
    let now = noon - 24 * hour;
    const cmdb = store.openAt(() => now);
    const belongsTo = (customer: string) =>
      cmdb.apply({ put: [testApp({ ...app, labels: { customer } })], remove: [] });
    const labels = async () => {
      const [found] = await usage(cmdb);
      return Object.fromEntries([...(found?.days ?? [])].map(([day, row]) => [day, row.labels['customer']]));
    };
    await belongsTo('c1');
    // One leaves on the first day, and one lives on until the third.
    await cmdb.update('shop', (current) => addInstance(current, testInstance({ id: 'a', startedAt: now - hour })));
    await cmdb.update('shop', (current) => addInstance(current, testInstance({ id: 'b', startedAt: now })));
    await cmdb.update('shop', (current) => confirmGone(current, 'a'));
    t.same(await labels(), { '2099-05-09': 'c1' });
    now += 24 * hour;
    await belongsTo('c2');
    t.same(await labels(), { '2099-05-09': 'c1', '2099-05-10': 'c2' });
    now += 24 * hour;
    await belongsTo('c3');
    await cmdb.update('shop', (current) => confirmGone(current, 'b'));
    t.same(await labels(), { '2099-05-09': 'c1', '2099-05-10': 'c2', '2099-05-11': 'c3' });
    t.same(await counts(cmdb), {
      shop: {
        '2099-05-09': { runningMs: 13 * hour },
        '2099-05-10': { runningMs: 24 * hour },
        '2099-05-11': { runningMs: 12 * hour },
      },
    });
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

  test('usage is told of the days asked for, by name, also of apps that are gone', async (t, _cmdb, store) => {
    const cmdb = store.openAt(() => noon);
    for (const name of ['d.e', 'a', 'c']) await run(cmdb, name, 1);
    await run(cmdb, 'b', 2, '2099-05-09');
    t.same(Object.keys(await counts(cmdb)), ['a', 'b', 'c', 'd.e']);
    t.same(Object.keys(await counts(cmdb, { after: 'a' })), ['b', 'c', 'd.e']);
    t.same(await counts(cmdb, { app: 'c' }), { c: { '2099-05-10': { runningMs: hour } } });
    t.same(await counts(cmdb, { app: 'none' }), { none: {} });
    t.same(await counts(cmdb, { from: '2099-05-10', to: '2099-05-10', app: 'b' }), { b: {} });
    t.same(Object.keys(await counts(cmdb, { from: '2099-05-10' })), ['a', 'c', 'd.e']);
    t.equal((await usage(cmdb))[0]?.record, undefined);
  });

  test('usage is kept for as many days as the store is told', async (t, _cmdb, store) => {
    let now = noon;
    const cmdb = store.openAt(() => now);
    await run(cmdb, 'old', 1, '2099-05-07');
    await run(cmdb, 'shop', 2, '2099-05-08');
    await run(cmdb, 'idle', 3);
    t.same(Object.keys(await counts(cmdb)), ['idle', 'shop'], 'what is too old already is not written');
    now += 2 * 24 * hour;
    t.same(
      await counts(cmdb),
      { idle: { '2099-05-10': { runningMs: 3 * hour } } },
      'what is too old by now is not read',
    );
    now += 24 * hour;
    await run(cmdb, 'shop', 4, '2099-05-13');
    t.same(Object.keys(await counts(cmdb)), ['shop']);
  });
}
