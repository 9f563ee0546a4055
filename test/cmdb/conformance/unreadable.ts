import { adopt, bootSucceeded, claimBoot } from '../../../src/model/deployment.js';
import { testApp } from '../../fixtures/app.js';
import { testInstance } from '../../fixtures/deployment.js';
import { app, claim, names, type StoreTest } from './store.js';

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
      await store.spoil('deployment', 'shop', garbage);
      t.match(await cmdb.find({ app: 'shop' }), { deployment: { instances: [] } }, garbage);
      t.match(store.unreadable, [/deployment shop/]);
    }
    const { deployment } = await cmdb.update('shop', (current) => adopt(current, testInstance()));
    t.equal(deployment.instances.length, 1);
    await store.spoil('app', 'other', '{"v":1}');
    store.unreadable.length = 0;
    t.equal(await cmdb.find({ domain: 'other.example' }), undefined);
    t.same(await names(cmdb, 'all'), ['shop']);
    t.match(store.unreadable, [/app other/, /app other/]);
    await cmdb.apply({ put: [other], remove: [] });
    t.equal((await cmdb.find({ domain: 'other.example' }))?.app.name, 'other');
  });
}
