import t from 'tap';
import { FileApps, isStoreComplete } from '../../src/daemon/file-apps.js';
import { testApp } from '../fixtures/app.js';

const apps = [testApp({ name: 'shop', domains: ['shop.example', '*.shops.example'] })];
const familiar = { identity: 'one', isComplete: true, isFamiliar: true };
const fresh = { ...familiar, isFamiliar: false };

t.test('files have an app by its name, and a domain by itself or by the wildcard one label up', async (t) => {
  const files = new FileApps(apps);
  t.ok(files.have({ app: 'shop' }));
  t.notOk(files.have({ app: 'other' }));
  for (const domain of ['shop.example', 'a.shops.example']) t.ok(files.have({ domain }), domain);
  for (const domain of ['shops.example', 'a.b.shops.example', 'example', '']) t.notOk(files.have({ domain }), domain);
  files.read([]);
  t.notOk(files.have({ app: 'shop' }));
});

t.test('a store that has taken the files has everything', async (t) => {
  const files = new FileApps(apps);
  files.applied('one');
  t.ok(isStoreComplete({ domain: 'shop.example' }, fresh, files));
  t.ok(isStoreComplete({ domain: 'other.example' }, fresh, files));
  t.notOk(isStoreComplete({ domain: 'other.example' }, { ...familiar, isComplete: false }, files), 'replaced');
});

t.test('what the files have is awaited for as long as the store has not taken it', async (t) => {
  const files = new FileApps(apps);
  const ask = () => isStoreComplete({ domain: 'shop.example' }, familiar, files);
  t.notOk(ask());
  files.applied('another');
  t.notOk(ask(), 'this store has not');
  files.applied('one');
  t.ok(ask());
  files.applied(undefined);
  t.notOk(ask(), 'the files have changed');
});

t.test('what only the files of others may have is awaited for one TTL, however long the store refuses', async (t) => {
  const files = new FileApps(apps);
  t.notOk(isStoreComplete({ domain: 'other.example' }, fresh, files));
  t.ok(isStoreComplete({ domain: 'other.example' }, familiar, files));
  t.ok(isStoreComplete({ app: 'other' }, familiar, files));
});
