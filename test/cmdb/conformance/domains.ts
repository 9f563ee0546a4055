import { testApp } from '../../fixtures/app.js';
import { app, claim, names, type StoreTest } from './store.js';

export function domainsConformance(test: StoreTest): void {
  test('a domain claimed twice is refused with both names, and nothing of the loser changes', async (t, cmdb) => {
    const thief = testApp({ name: 'thief', domains: ['thief.example'] });
    await cmdb.apply({ put: [app, thief], remove: [] });
    const greedy = { ...thief, domains: ['thief.example', 'new.example', 'shop.example'], idleTtlMs: 1 };
    t.same(await cmdb.apply({ put: [greedy], remove: [] }), [
      { domain: 'shop.example', wantedBy: 'thief', ownedBy: 'shop' },
    ]);
    t.same((await cmdb.find({ app: 'thief' }))?.app, thief);
    t.equal((await cmdb.find({ domain: 'shop.example' }))?.app.name, 'shop');
    t.equal(await cmdb.find({ domain: 'new.example' }), undefined);
  });

  test('a domain that its owner gave up is free, also for an app of the same change', async (t, cmdb) => {
    await cmdb.apply({ put: [app], remove: [] });
    const heir = testApp({ name: 'heir', domains: ['shop.example'] });
    t.same(await cmdb.apply({ put: [heir], remove: ['shop'] }), []);
    t.equal((await cmdb.find({ domain: 'shop.example' }))?.app.name, 'heir');
    await cmdb.apply({ put: [{ ...heir, domains: ['heir.example'] }], remove: [] });
    t.equal(await cmdb.find({ domain: 'shop.example' }), undefined);
  });

  test('a claim that its owner does not list leads nowhere', async (t, cmdb, store) => {
    await cmdb.apply({ put: [app], remove: [] });
    const record = JSON.stringify({ v: 1, app: { ...app, domains: ['other.example'] }, removed: false });
    await store.spoil('app', 'shop', record);
    t.equal(await cmdb.find({ domain: 'shop.example' }), undefined);
    t.equal(await cmdb.find({ domain: 'any.shop.example' }), undefined);
  });

  test('of two new apps that want one domain in one change the first has it', async (t, cmdb) => {
    const second = testApp({ name: 'second', domains: ['shop.example'] });
    t.same(await cmdb.apply({ put: [app, second], remove: [] }), [
      { domain: 'shop.example', wantedBy: 'second', ownedBy: 'shop' },
    ]);
    t.equal(await cmdb.find({ app: 'second' }), undefined);
    t.equal((await cmdb.find({ domain: 'shop.example' }))?.app.name, 'shop');
  });
}
