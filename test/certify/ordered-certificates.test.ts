import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { AcmeAuthority } from '../../src/certify/acme-authority.js';
import type { Authority } from '../../src/certify/authority.js';
import { Challenges } from '../../src/certify/challenges.js';
import { recordName } from '../../src/certify/domain-record.js';
import { OrderedCertificates } from '../../src/certify/ordered-certificates.js';
import { pairFault } from '../../src/certify/pair-fault.js';
import { Seal } from '../../src/certify/seal.js';
import type { Cmdb } from '../../src/cmdb/cmdb.js';
import { openLmdbCmdb } from '../../src/cmdb/lmdb.js';
import { systemClock } from '../../src/machine/system-clock.js';
import type { CertificatePair } from '../../src/model/certificate.js';
import { domainOf } from '../../src/model/host-name.js';
import { testApp } from '../fixtures/app.js';
import { makeCertificate } from '../fixtures/certificates.js';
import { needsPebble, startPebble } from '../fixtures/pebble.js';
import { testSigner } from '../fixtures/signer.js';

const alive = setInterval(() => {}, 1_000);
t.teardown(() => clearInterval(alive));

const seal = new Seal('correct horse battery staple, and more', 'test');

async function openCmdb(t: Test) {
  const path = await mkdtemp(join(tmpdir(), 'fastcontainer-certify-'));
  t.teardown(() => rm(path, { recursive: true, force: true }));
  const open = (): Cmdb => {
    const cmdb = openLmdbCmdb({ path, signer: testSigner(), logLength: 100, onUnreadable() {} });
    t.teardown(() => cmdb.close());
    return cmdb;
  };
  const cmdb = open();
  const app = testApp({ name: 'shop', domains: ['shop.example.org', 'away.example.org', '*.wild.example.org'] });
  await cmdb.apply({ put: [app], remove: [] });
  return { cmdb, open };
}

/** A node's certificates, and what it says of its orders. */
function node(t: Test, cmdb: Pick<Cmdb, 'find' | 'sealed' | 'changeSealed'>, authority: Authority, me = 'me') {
  const orders: string[] = [];
  let changes = 0;
  const certificates = new OrderedCertificates({
    ...{ cmdb, seal, authority, me, directory: 'test', clock: systemClock, random: () => 0 },
    onChanged: () => void (changes += 1),
    onOrder: (domain, result, reason) => void orders.push([domain, result, reason].filter(Boolean).join(' ')),
  });
  t.teardown(() => certificates.close());
  return { certificates, orders, changes: () => changes };
}

/** An authority that gives what it is told, and counts. */
function authorityOf(give: (domain: string) => ReturnType<typeof makeCertificate>): Authority & { asked: string[] } {
  const asked: string[] = [];
  return {
    asked,
    newAccount: async () => ({ key: 'key' }),
    order: async ({ domain, account }) => {
      asked.push(domain);
      return { pair: await give(domain), account: { ...account, url: 'https://authority.example/1' } };
    },
  };
}

t.test(
  'a certificate is ordered once for all nodes when it is first asked for, from a real authority',
  needsPebble,
  async (t) => {
    const { cmdb, open } = await openCmdb(t);
    const server = createServer(async (req, res) => {
      const answer = await challenges.answerTo(domainOf(req.headers.host ?? '') ?? '', req.url ?? '');
      res.writeHead(answer === undefined ? 404 : 200).end(answer);
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    t.teardown(() => server.close());
    const { directory, caFile } = await startPebble(t, (server.address() as AddressInfo).port);
    const other = open();
    // Another node than the one that orders is asked.
    const challenges = new Challenges({ cmdb: other, seal });
    const authority = () => new AcmeAuthority({ directory, caFile, email: 'certs@example.org' });
    const nodes = [node(t, cmdb, authority(), 'one'), node(t, other, authority(), 'two')];
    const all = await Promise.all(
      nodes.flatMap(({ certificates }) => Array.from({ length: 5 }, () => certificates.find('shop.example.org'))),
    );
    t.same(
      nodes.flatMap(({ orders }) => orders),
      ['shop.example.org ordered'],
    );
    const [first] = all;
    t.ok(
      all.every((one) => one?.id === first?.id && one?.pair?.key === first?.pair?.key),
      'everybody has the same',
    );
    const certificate = new X509Certificate(first?.pair?.cert ?? '');
    t.equal(certificate.subjectAltName, 'DNS:shop.example.org');
    t.match(certificate.issuer, /Pebble/);
    t.match(first?.pair?.key, /PRIVATE KEY/);
    t.notMatch(
      await cmdb.sealed(recordName(seal, 'shop.example.org')),
      /PRIVATE|CERTIFICATE|shop/,
      'nothing of it is legible in the store',
    );
    t.same(await nodes[0]?.certificates.find('shop.example.org', first?.id), { id: first?.id }, 'not sent twice');
    const later = node(t, cmdb, { newAccount: fail, order: fail });
    t.equal((await later.certificates.find('shop.example.org'))?.id, first?.id, 'a node that starts later has it too');
    const url = new URL('/my-account/forgotten', directory).href;
    const forgotten: Authority = {
      newAccount: () => authority().newAccount(),
      order: (terms) => authority().order({ ...terms, account: { ...terms.account, url } }),
    };
    const third = node(t, cmdb, forgotten, 'three');
    t.ok(await third.certificates.find('away.example.org'), 'an account that the authority has forgotten is made anew');
    t.same(third.orders, ['away.example.org ordered']);
  },
);

const fail = () => Promise.reject(new Error('the authority is away'));

t.test('names that no app has cost no order, and the store one look-up each', async (t) => {
  const { cmdb } = await openCmdb(t);
  let looks = 0;
  const counted = {
    find: (query: Parameters<Cmdb['find']>[0]) => ((looks += 1), cmdb.find(query)),
    sealed: (name: string) => ((looks += 1), cmdb.sealed(name)),
    changeSealed: cmdb.changeSealed.bind(cmdb),
  };
  const authority = authorityOf((domain) => makeCertificate([domain]));
  const { certificates } = node(t, counted, authority);
  for (const odd of [
    '',
    'localhost',
    '127.0.0.1',
    '[::1]',
    '*.example.org',
    'a..b',
    '-a.example',
    `${'a'.repeat(64)}.example`,
    '../x',
  ])
    t.equal(await certificates.find(odd), undefined, odd);
  t.equal(looks, 0);
  for (let again = 0; again < 100; again += 1) t.equal(await certificates.find('nowhere.example.org'), undefined);
  t.equal(looks, 1, 'remembered');
  t.equal(await certificates.find('a.wild.example.org'), undefined, 'a name below a wildcard');
  await Promise.all(Array.from({ length: 1_000 }, (_, index) => certificates.find(`n${index}.example.org`)));
  t.equal(looks, 1_002, 'one for each name, as over plain HTTP');
  t.same(authority.asked, []);
});

t.test('an order that fails is not repeated at once, on any node, and says why', async (t) => {
  const { cmdb, open } = await openCmdb(t);
  const one = node(t, cmdb, { newAccount: async () => ({ key: 'key' }), order: fail }, 'one');
  t.equal(await one.certificates.find('away.example.org'), undefined);
  t.same(one.orders, ['away.example.org failed the authority is away']);
  const authority = authorityOf((domain) => makeCertificate([domain]));
  const two = node(t, open(), authority, 'two');
  t.equal(await two.certificates.find('away.example.org'), undefined);
  t.equal(await one.certificates.find('away.example.org'), undefined);
  t.same([...two.orders, ...authority.asked, ...one.orders.slice(1)], []);
  t.ok(await two.certificates.find('shop.example.org'), 'other domains are not held up');
});

t.test('what an authority gives is used only if it is for the domain and its key', async (t) => {
  const [own, other] = await Promise.all(
    ['shop.example.org', 'other.example.org'].map((name) => makeCertificate([name])),
  );
  const given: [pair: CertificatePair, why: RegExp][] = [
    [{ cert: '', key: own!.key }, /cannot be used/],
    [{ cert: own!.cert, key: other!.key }, /for another key/],
    [other!, /for other names/],
  ];
  for (const [pair, why] of given) {
    const { cmdb } = await openCmdb(t);
    const { certificates, orders } = node(
      t,
      cmdb,
      authorityOf(async () => pair),
    );
    t.equal(await certificates.find('shop.example.org'), undefined);
    t.match(orders, [why]);
  }
  t.match(pairFault(own!, 'shop.example.org', Date.now() + 31 * 86_400_000), /has run out/);
});

t.test(
  'a certificate that is in use survives an outage of store and authority, and is renewed before it ends',
  async (t) => {
    const { cmdb } = await openCmdb(t);
    let isAway = false;
    const orAway = <T>(run: () => Promise<T>) => (isAway ? Promise.reject(new Error('the store is away')) : run());
    const store = {
      find: (query: Parameters<Cmdb['find']>[0]) => orAway(() => cmdb.find(query)),
      sealed: (name: string) => orAway(() => cmdb.sealed(name)),
      changeSealed: (name: string, change: Parameters<Cmdb['changeSealed']>[1]) =>
        orAway(() => cmdb.changeSealed(name, change)),
    };
    let nowMs = Date.now();
    const authority = authorityOf((domain) => makeCertificate([domain], { days: 30 }));
    const certificates = new OrderedCertificates({
      ...{ cmdb: store, seal, authority, me: 'me', directory: 'test', random: () => 0 },
      clock: {
        ...systemClock,
        now: () => nowMs,
        monotonic: () => systemClock.monotonic(),
        after: (ms, run) => systemClock.after(ms, run),
      },
      onChanged() {},
      onOrder() {},
    });
    t.teardown(() => certificates.close());
    const first = await certificates.find('shop.example.org');
    nowMs += 10 * 86_400_000;
    isAway = true;
    t.equal((await certificates.find('shop.example.org'))?.id, first?.id);
    nowMs += 12 * 86_400_000;
    isAway = false;
    t.equal((await certificates.find('shop.example.org'))?.id, first?.id, 'at once, while another is ordered');
    await certificates.close();
    t.same(authority.asked, ['shop.example.org', 'shop.example.org']);
    nowMs += 120_000;
    const renewed = await certificates.find('shop.example.org');
    t.not(renewed?.id, first?.id);
  },
);

t.test(
  'a record that another key sealed, or that was moved, gives no certificate and is not overwritten',
  async (t) => {
    const { cmdb } = await openCmdb(t);
    const authority = authorityOf((domain) => makeCertificate([domain]));
    const { certificates } = node(t, cmdb, authority);
    await certificates.find('shop.example.org');
    const stolen = await cmdb.sealed(recordName(seal, 'shop.example.org'));
    await cmdb.changeSealed(recordName(seal, 'away.example.org'), () => stolen);
    await t.rejects(certificates.find('away.example.org'), { name: 'SealBroken' });
    t.equal(await cmdb.sealed(recordName(seal, 'away.example.org')), stolen);
    t.same(authority.asked, ['shop.example.org']);
  },
);
