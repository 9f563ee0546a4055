import { addInstance, bootSucceeded, claimBoot, confirmGone } from '../../../src/model/deployment.js';
import { pinOf } from '../../../src/model/pin.js';
import { testInstance } from '../../fixtures/deployment.js';
import { collect } from '../collect.js';
import { app, claim, names, type StoreTest } from './store.js';

const mounting = { ...app, mounts: [{ source: '/srv/shop', target: '/data', readOnly: false, shared: false }] };
const pin = pinOf(mounting, 'here');
const report = { address: { host: 'h', port: 1 }, boot: {}, user: 'me', pin };

export function pinsConformance(test: StoreTest): void {
  test('a pin outlives the last instance and a change of the app, and goes with the app', async (t, cmdb, store) => {
    await cmdb.apply({ put: [mounting], remove: [] });
    await cmdb.update('shop', (current) => bootSucceeded(claimBoot(current, mounting, claim, 1), 'shop-1', report, 2));
    await cmdb.update('shop', (current) => confirmGone(current, 'shop-1'));
    t.match((await cmdb.find({ domain: 'shop.example' }))?.deployment, { app: 'shop', instances: [], pinnedTo: pin });
    await cmdb.apply({ put: [{ ...mounting, idleTtlMs: 1 }], remove: [] });
    t.same((await store.open().find({ app: 'shop' }))?.deployment.pinnedTo, pin);
    t.same(await names(cmdb, 'active'), [], 'a pin alone is nothing that has to end');
    await cmdb.apply({ put: [], remove: ['shop'] });
    t.same(await store.remnants(), []);
    await cmdb.apply({ put: [mounting], remove: [] });
    t.same((await cmdb.find({ app: 'shop' }))?.deployment, { app: 'shop', instances: [] });
  });

  test('a removed app keeps its pin while it drains, and not longer', async (t, cmdb, store) => {
    await cmdb.apply({ put: [mounting], remove: [] });
    await cmdb.update('shop', (current) => addInstance(current, testInstance(), pin));
    await cmdb.apply({ put: [], remove: ['shop'] });
    t.match(await cmdb.find({ app: 'shop' }), { removed: true, deployment: { pinnedTo: pin } });
    await cmdb.update('shop', (current) => confirmGone(current, 'shop-1'));
    t.same(await store.remnants(), []);
  });

  test('mounts keep whether their storage is shared', async (t, cmdb) => {
    const mounts = [{ source: '/nfs', target: '/data', readOnly: true, shared: true }];
    await cmdb.apply({ put: [{ ...app, mounts }], remove: [] });
    t.same((await cmdb.find({ app: 'shop' }))?.app.mounts, mounts);
  });

  test('the change log names the machine that is asked for a boot, until it is taken up', async (t, cmdb) => {
    await cmdb.apply({ put: [mounting], remove: [] });
    const { position } = await cmdb.changes(undefined, AbortSignal.timeout(5_000));
    const { id, host } = claim;
    const asked = await cmdb.update('shop', (current) =>
      claimBoot(current, mounting, { id, host, askedBy: 'other' }, 1),
    );
    t.same(await collect(cmdb, position, 1), [{ app: 'shop', version: asked.version, hosts: ['here'] }]);
    t.match(await cmdb.find({ app: 'shop' }), { deployment: { instances: [{ askedBy: 'other' }] } });
    const gone = await cmdb.update('shop', (current) => confirmGone(current, 'shop-1'));
    t.same((await collect(cmdb, position, 2)).at(-1), { app: 'shop', version: gone.version });
  });
}
