import t from 'tap';
import { LocalApps } from '../../src/uses/local-apps.js';
import { Router } from '../../src/check/router.js';
import type { AppRecord, Cmdb } from '../../src/cmdb/cmdb.js';
import { emptyDeployment } from '../../src/model/deployment.js';
import { testApp } from '../fixtures/app.js';

const record: AppRecord = { app: testApp(), removed: false, deployment: emptyDeployment('shop'), version: 'v' };

/** A store that only finds, and counts how often. */
function setUp(options: { complete?: boolean; unknownBytes?: number } = {}) {
  const asked: string[] = [];
  let found: AppRecord | undefined = record;
  const find: Cmdb['find'] = async (query) => {
    asked.push('domain' in query ? query.domain : query.app);
    return 'app' in query || query.domain === 'shop.example' ? found : undefined;
  };
  const cmdb = { find } as Cmdb;
  const apps = new LocalApps(cmdb);
  const router = new Router({ cmdb, apps, isComplete: () => options.complete ?? true, ...options });
  return { router, apps, asked, forgetApp: () => (found = undefined) };
}

t.test('a known host is looked up once, whatever way it is written', async (t) => {
  const { router, asked } = setUp();
  t.equal((await router.find('shop.example')).name, 'shop');
  t.equal(router.cached('shop.example')?.name, 'shop');
  t.equal((await router.find('shop.example')).name, 'shop');
  t.same(asked, ['shop.example']);
  for (const host of ['SHOP.example', 'shop.example.', 'shop.example:8080', 'Shop.Example.:8080']) {
    t.equal((await router.find(host)).name, 'shop');
    t.equal(router.cached(host)?.name, 'shop', `${host} is at hand`);
  }
  t.same(asked, ['shop.example']);
});

t.test(
  'ways to write a known domain with characters that mean nothing cost no look-up and take no memory',
  async (t) => {
    const { router, asked } = setUp();
    await router.find('shop.example');
    for (let count = 1; count < 480; count += 1) {
      const softHyphens = Buffer.from(`${'\u00ad'.repeat(count)}shop.example`).toString('latin1');
      t.equal((await router.find(softHyphens)).name, 'shop');
      t.equal(router.cached(softHyphens), undefined, 'not kept as it was written');
    }
    t.same(asked, ['shop.example']);
  },
);

t.test('an unknown domain costs one look-up, and random ones no more than the bound in memory', async (t) => {
  const { router, asked } = setUp({ unknownBytes: 10_000 });
  for (let round = 0; round < 3; round += 1) await t.rejects(router.find('nobody.example'), { code: 'unknown_domain' });
  t.same(asked, ['nobody.example']);
  for (let index = 0; index < 5_000; index += 1) await router.find(`${index}.example`).catch(() => {});
  t.equal(asked.length, 5_001);
  t.equal((await router.find('shop.example')).name, 'shop', 'known hosts do not suffer');
});

t.test('a herd for one host asks the store once', async (t) => {
  const { router, asked } = setUp();
  await Promise.all(Array.from({ length: 100 }, () => router.find('shop.example')));
  t.equal(asked.length, 1);
});

t.test('a changed app is asked for again, also where the answer was on its way', async (t) => {
  const { router, asked } = setUp();
  const onItsWay = router.find('shop.example');
  router.forget();
  await onItsWay;
  t.equal(router.cached('shop.example'), undefined);
  await router.find('shop.example');
  t.equal(asked.length, 2);
});

t.test('what is no host name is a bad request and asks nobody', async (t) => {
  const { router, asked } = setUp();
  await t.rejects(router.find('a b'), { code: 'bad_request' });
  t.same(asked, []);
});

t.test('while the store was just replaced an unknown domain is no 404, and is not remembered', async (t) => {
  const { router, asked } = setUp({ complete: false });
  for (let round = 0; round < 2; round += 1) await t.rejects(router.find('new.example'), { code: 'cmdb_unavailable' });
  t.equal(asked.length, 2);
});

t.test('who comes after a change asks anew, also where the same domain is being asked for', async (t) => {
  const answers: ((found: AppRecord | undefined) => void)[] = [];
  const find: Cmdb['find'] = () => new Promise((resolve) => answers.push(resolve));
  const cmdb = { find } as Cmdb;
  const router = new Router({ cmdb, apps: new LocalApps(cmdb), isComplete: () => true });
  const before = router.find('shop.example');
  router.forget();
  const after = router.find('shop.example');
  answers[0]?.(undefined);
  await t.rejects(before, { code: 'unknown_domain' });
  answers[1]?.(record);
  t.equal((await after).name, 'shop');
  t.equal((await router.find('shop.example')).name, 'shop', 'the old answer is not kept');
});
