import { RecordSigner } from '../../../src/cmdb/record-signer.js';
import { addInstance } from '../../../src/model/deployment.js';
import { testApp } from '../../fixtures/app.js';
import { testInstance } from '../../fixtures/deployment.js';
import { app, names, session, spoilSigned, type StoreTest } from './store.js';

/** What somebody does who can write the store and has no key. */
export function signaturesConformance(test: StoreTest): void {
  test('an app that was changed in the store, down to a byte, is reported and not found', async (t, cmdb, store) => {
    await cmdb.apply({ put: [testApp({ ...app, user: 'nobody' })], remove: [] });
    const good = await store.stored('app', 'shop');
    const forged = {
      'as root': good.replace('"nobody"', '"root"'),
      'without its signature': store.signer.textOf(good),
      'with an empty signature': ` ${store.signer.textOf(good)}`,
      'with half a signature': good.slice(20),
      'with another character in its signature': `${good.startsWith('A') ? 'B' : 'A'}${good.slice(1)}`,
      'with a byte behind it': `${good} `,
      'of nothing': '',
    };
    for (const [how, text] of Object.entries(forged)) {
      store.unreadable.length = 0;
      await store.spoil('app', 'shop', text);
      t.equal(await cmdb.find({ app: 'shop' }), undefined, how);
      t.equal(await cmdb.find({ domain: 'shop.example' }), undefined, how);
      t.match(store.unreadable, [/app shop/], how);
      t.same(await names(cmdb, 'all'), [], how);
    }
    await store.spoil('app', 'shop', good);
    t.match(await cmdb.find({ domain: 'shop.example' }), { app: { user: 'nobody' } });
  });

  test('an app copied from another, and a domain given to another, lead nowhere', async (t, cmdb, store) => {
    const other = testApp({ name: 'other', domains: ['other.example'], user: 'root' });
    await cmdb.apply({ put: [app, other], remove: [] });
    await store.spoil('app', 'shop', await store.stored('app', 'other'));
    t.equal(await cmdb.find({ app: 'shop' }), undefined);
    t.equal(await cmdb.find({ domain: 'shop.example' }), undefined);
    t.match(store.unreadable, [/app shop/]);
    await cmdb.apply({ put: [app], remove: [] });
    await store.spoil('domain', 'shop.example', 'token other');
    t.equal(await cmdb.find({ domain: 'shop.example' }), undefined, 'its record does not list the domain');
    await store.spoil('domain', 'shop.example', 'other');
    t.equal(await cmdb.find({ domain: 'shop.example' }), undefined);
  });

  test('a deployment that was changed, or copied from another app, counts as empty', async (t, cmdb, store) => {
    const other = testApp({ name: 'other', domains: ['other.example'] });
    await cmdb.apply({ put: [app, other], remove: [] });
    for (const name of ['shop', 'other'])
      await cmdb.update(name, (current) =>
        addInstance(current, testInstance({ id: `${name}-1`, address: { host: '127.0.0.1', port: 4_000 } })),
      );
    const good = await store.stored('deployment', 'shop');
    const forged = [
      good.replace('4000', '4001'),
      store.signer.textOf(good),
      await store.stored('deployment', 'other'),
      await store.stored('app', 'shop'),
    ];
    for (const text of forged) {
      store.unreadable.length = 0;
      await store.spoil('deployment', 'shop', text);
      t.match(await cmdb.find({ app: 'shop' }), { deployment: { instances: [] } });
      t.match(store.unreadable, [/deployment shop/]);
    }
    await store.spoil('deployment', 'shop', good);
    t.match(await cmdb.find({ app: 'shop' }), { deployment: { instances: [{ id: 'shop-1' }] } });
  });

  test('what was forged is written over by the same app put again', async (t, cmdb, store) => {
    await cmdb.apply({ put: [app], remove: [] });
    const good = await store.stored('app', 'shop');
    for (const text of [store.signer.textOf(good), `${'A'.repeat(43)} ${store.signer.textOf(good)}`]) {
      await store.spoil('app', 'shop', text);
      await cmdb.apply({ put: [app], remove: [] });
      t.equal(await store.stored('app', 'shop'), good, 'signed again');
    }
  });

  test('a session of another key is refused before it writes anything', async (t, cmdb, store) => {
    await cmdb.apply({ put: [app], remove: [] });
    await cmdb.beat(session('first'));
    const left = await store.remnants();
    // The embedded store refuses to be opened.
    const attempt = async () => {
      const other = store.openAs(new RecordSigner('another key of at least 32 bytes', 'elsewhere'));
      await other.beat(session('second'));
    };
    await t.rejects(attempt(), { message: /signed with another key .* the same cmdb\.signingKey/ });
    t.same(await store.remnants(), left);
    t.match(await cmdb.find({ app: 'shop' }), { app: { name: 'shop' } });
  });

  test('a record of another installation with the same key is not one of this', async (t, cmdb, store) => {
    await cmdb.apply({ put: [app], remove: [] });
    const text = store.signer.textOf(await store.stored('app', 'shop'));
    const elsewhere = new RecordSigner('another key of at least 32 bytes', 'elsewhere');
    const sameName = new RecordSigner('another key of at least 32 bytes', 'here');
    t.not(elsewhere.sign('app', 'shop', text), sameName.sign('app', 'shop', text));
    await store.spoil('app', 'shop', elsewhere.sign('app', 'shop', text));
    t.equal(await cmdb.find({ app: 'shop' }), undefined);
  });

  test('a record that can be read again is told of', async (t, cmdb, store) => {
    await cmdb.apply({ put: [app], remove: [] });
    await spoilSigned(store, 'app', 'shop', '{"v":1}');
    t.equal(await cmdb.find({ app: 'shop' }), undefined);
    t.same(store.readable, []);
    await cmdb.apply({ put: [app], remove: [] });
    await cmdb.find({ app: 'shop' });
    t.same(store.readable, ['app shop']);
  });
}
