import { pino } from 'pino';
import t from 'tap';
import type { AppRecord } from '../../src/cmdb/cmdb.js';
import { AppDifferences } from '../../src/config/app-differences.js';
import type { App } from '../../src/model/app.js';
import { emptyDeployment } from '../../src/model/deployment.js';
import { systemClock } from '../../src/machine/system-clock.js';
import { testApp } from '../fixtures/app.js';
import { until } from '../fixtures/daemon.js';

function setUp() {
  const stored = new Map<string, AppRecord>();
  const lines: Record<string, unknown>[] = [];
  const logger = pino({ level: 'info' }, { write: (line: string) => void lines.push(JSON.parse(line) as never) });
  let reads = 0;
  const cmdb = {
    async find(query: { domain: string } | { app: string }) {
      reads += 1;
      return 'app' in query ? stored.get(query.app) : undefined;
    },
    async *list() {
      reads += 1;
      yield* stored.values();
    },
  };
  const missing: string[] = [];
  const differences = new AppDifferences({
    ...{ cmdb, logger, clock: systemClock },
    fileOf: (app) => `apps/${app}.yaml`,
    onMissing: (apps) => missing.push(...apps),
  });
  const store = (app: App, more: Partial<AppRecord> = {}) =>
    stored.set(app.name, { app, removed: false, deployment: emptyDeployment(app.name), version: '', ...more });
  const settled = async () => {
    const before = reads;
    differences.look(['shop']);
    await until(() => reads > before || undefined);
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { stored, store, differences, lines, settled, missing, reads: () => reads };
}

const shop = testApp();
const newer = testApp({ idleTtlMs: 1 });

t.test('an app whose file says what the store has is no difference', async (t) => {
  const { store, differences, lines, settled } = setUp();
  store(shop, { origin: { host: 'b', since: 0 } });
  differences.expect([testApp()], new Set(), 'store');
  await settled();
  t.equal(differences.count, 0);
  t.same(lines, []);
});

t.test('a difference is told once, with where the stored one came from, and its end', async (t) => {
  const { store, differences, lines, settled } = setUp();
  store(newer, { origin: { host: 'b', since: 1_000 } });
  differences.expect([shop], new Set(), 'store');
  await settled();
  await settled();
  t.equal(differences.count, 1);
  t.match(lines, [
    {
      level: 40,
      app: 'shop',
      file: 'apps/shop.yaml',
      storedFrom: 'b',
      storedSince: '1970-01-01T00:00:01.000Z',
      msg: 'app shop: the CMDB has the file of b, not apps/shop.yaml; make the files the same: bring that one here, or change this one to apply it',
    },
  ]);
  t.equal(lines.length, 1);
  store(testApp({ idleTtlMs: 2 }), { origin: { host: 'b', since: 2_000 } });
  await settled();
  t.equal(lines.length, 2, 'another difference is told anew');
  store(shop);
  await settled();
  t.match(lines.at(-1), { level: 30, app: 'shop' });
  t.equal(differences.count, 0);
});

t.test('an app that was removed elsewhere is a difference, and is to be put again', async (t) => {
  const { stored, store, differences, lines, settled, missing } = setUp();
  differences.expect([shop], new Set(), 'store');
  await settled();
  t.match(lines, [
    {
      msg: /another machine removed it from the CMDB.*put again from apps\/shop.yaml; to remove the app, delete that file too/,
    },
  ]);
  t.same([...new Set(missing)], ['shop']);
  store(shop, { removed: true });
  await settled();
  t.equal(lines.length, 1);
  stored.clear();
  differences.expect([], new Set(), 'store');
  t.equal(differences.count, 0, 'its file is gone as well');
});

t.test('nothing is judged while files are not applied, nor an app that was refused its domain', async (t) => {
  const { store, differences, lines } = setUp();
  store(newer);
  differences.look('all');
  differences.expect([shop], new Set(['shop']), 'store');
  differences.suspend();
  differences.look(['shop']);
  await new Promise((resolve) => setImmediate(resolve));
  await differences.stop();
  t.same(lines, []);
});

t.test('many apps are compared by one list', async (t) => {
  const { store, differences } = setUp();
  const apps = Array.from({ length: 50 }, (_, index) => testApp({ name: `app-${index}` }));
  for (const app of apps) store({ ...app, idleTtlMs: app.name === 'app-7' ? 1 : app.idleTtlMs });
  differences.expect(apps, new Set(), 'store');
  await until(() => differences.count === 1 || undefined);
  await differences.stop();
  t.equal(differences.count, 1);
});

t.test(
  'of apps that are applied again only those are looked at that changed, unless the store is another one',
  async (t) => {
    const { store, differences, reads } = setUp();
    const apps = Array.from({ length: 300 }, (_, index) => testApp({ name: `app-${index}` }));
    for (const app of apps) store(app);
    const settle = async (list: readonly App[], identity: string) => {
      const before = reads();
      differences.suspend();
      differences.expect(list, new Set(), identity);
      await until(() => reads() > before || undefined);
      for (let turns = 0; turns < 10; turns += 1) await new Promise((resolve) => setImmediate(resolve));
      return reads() - before;
    };
    t.equal(await settle(apps, 'one'), 1, 'all are listed');
    const changed = apps.with(7, testApp({ name: 'app-7', idleTtlMs: 1 }));
    t.equal(await settle(changed, 'one'), 1, 'one is asked for');
    t.equal(differences.count, 1);
    t.equal(await settle(changed, 'two'), 1, 'all are listed');
    await differences.stop();
  },
);
