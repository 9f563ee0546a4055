import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { AcmeAuthority } from '../../src/certify/acme-authority.js';
import { type Authority, AuthorityError, type OrderTerms, type Renewal } from '../../src/certify/authority.js';
import { Challenges } from '../../src/certify/challenges.js';
import { DnsHook } from '../../src/certify/dns-hook.js';
import type { DomainRecord } from '../../src/certify/domain-record.js';
import { OrderBudget } from '../../src/certify/order-budget.js';
import { OrderedCertificates } from '../../src/certify/ordered-certificates.js';
import { pairFault } from '../../src/certify/pair-fault.js';
import type { Cmdb } from '../../src/cmdb/cmdb.js';
import { openLmdbCmdb } from '../../src/cmdb/lmdb.js';
import { systemClock } from '../../src/machine/system-clock.js';
import type { Clock } from '../../src/model/clock.js';
import type { CertificatePair } from '../../src/model/certificate.js';
import { domainOf } from '../../src/model/host-name.js';
import { testApp } from '../fixtures/app.js';
import { makeCertificate } from '../fixtures/certificates.js';
import { eventually } from '../fixtures/eventually.js';
import { needsPebble, startPebble } from '../fixtures/pebble.js';
import { sealedDocuments } from '../fixtures/sealed.js';
import { testSigner } from '../fixtures/signer.js';

const alive = setInterval(() => {}, 1_000);
t.teardown(() => clearInterval(alive));

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

type Store = Pick<Cmdb, 'find' | 'sealed' | 'changeSealed'>;

/** A node's certificates, and what it says of its orders. */
function node(
  t: Test,
  cmdb: Store,
  authorities: Authority | Record<string, Authority>,
  { me = 'me', clock = systemClock as Clock, dns }: { me?: string; clock?: Clock; dns?: DnsHook } = {},
) {
  const orders: string[] = [];
  const broken: string[] = [];
  let changes = 0;
  const documents = sealedDocuments(cmdb, (name) => void broken.push(name));
  const byDirectory = 'order' in authorities ? { [first]: authorities as Authority } : authorities;
  const certificates = new OrderedCertificates({
    ...{ cmdb, documents, me, clock, random: () => 0 },
    ...(dns && { dns }),
    authorities: new Map(Object.entries(byDirectory)),
    challenges: new Challenges({ documents, clock }),
    budget: new OrderBudget({ documents, clock }),
    onChanged: () => void (changes += 1),
    onOrder: (domain, result, reason) => void orders.push([domain, result, reason].filter(Boolean).join(' ')),
  });
  t.teardown(() => certificates.close());
  return { certificates, documents, orders, broken, changes: () => changes };
}

const first = 'https://first.example/dir';
const second = 'https://second.example/dir';

/** An authority that gives what it is told, and counts. */
function authorityOf(
  give: (domain: string) => ReturnType<typeof makeCertificate>,
  renewal: () => Promise<Renewal> = () => Promise.reject(new Error('it does not say')),
): Authority & { asked: string[]; terms: OrderTerms[] } {
  const asked: string[] = [];
  const terms: OrderTerms[] = [];
  return {
    ...{ asked, terms, renewal },
    newAccount: async () => ({ key: 'key' }),
    order: async (wanted) => {
      asked.push(wanted.domain);
      terms.push(wanted);
      return { pair: await give(wanted.domain), account: { ...wanted.account, url: 'https://authority.example/1' } };
    },
  };
}

const gives = () => authorityOf((domain) => makeCertificate([domain]));
const refuses = (error = new Error('the authority is away')) =>
  authorityOf(async () => {
    throw error;
  });

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
    const challenges = new Challenges({ documents: sealedDocuments(other), clock: systemClock });
    const authority = () => new AcmeAuthority({ directory, caFile, email: 'certs@example.org' });
    const nodes = [node(t, cmdb, authority(), { me: 'one' }), node(t, other, authority(), { me: 'two' })];
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
      await cmdb.sealed(sealedDocuments(cmdb).nameOf('domain:shop.example.org')),
      /PRIVATE|CERTIFICATE|shop/,
      'nothing of it is legible in the store',
    );
    t.same(await nodes[0]?.certificates.find('shop.example.org', first?.id), { id: first?.id }, 'not sent twice');
    const later = node(t, cmdb, refuses());
    t.equal((await later.certificates.find('shop.example.org'))?.id, first?.id, 'a node that starts later has it too');
    const url = new URL('/my-account/forgotten', directory).href;
    const forgotten: Authority = {
      newAccount: () => authority().newAccount(),
      renewal: (...asked) => authority().renewal(...asked),
      order: (terms) => authority().order({ ...terms, account: { ...terms.account, url } }),
    };
    const third = node(t, cmdb, forgotten, { me: 'three' });
    t.ok(await third.certificates.find('away.example.org'), 'an account that the authority has forgotten is made anew');
    t.same(third.orders, ['away.example.org ordered']);
  },
);

t.test('names that no app has cost no order, and the store one look-up each', async (t) => {
  const { cmdb } = await openCmdb(t);
  let looks = 0;
  const counted = {
    find: (query: Parameters<Cmdb['find']>[0]) => ((looks += 1), cmdb.find(query)),
    sealed: (name: string) => ((looks += 1), cmdb.sealed(name)),
    changeSealed: cmdb.changeSealed.bind(cmdb),
  };
  const authority = gives();
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
  const one = node(t, cmdb, refuses(), { me: 'one' });
  t.equal(await one.certificates.find('away.example.org'), undefined);
  t.same(one.orders, ['away.example.org failed the authority is away']);
  const counted = await one.documents.read<{ fullAt: number }>('budget:example.org');
  t.ok(counted && counted.fullAt <= Date.now(), 'it counts for no certificate of its registered domain');
  const authority = gives();
  const two = node(t, open(), authority, { me: 'two' });
  t.equal(await two.certificates.find('away.example.org'), undefined);
  t.equal(await one.certificates.find('away.example.org'), undefined);
  t.same([...two.orders, ...authority.asked, ...one.orders.slice(1)], []);
  t.ok(await two.certificates.find('shop.example.org'), 'other domains are not held up');
});

t.test('a node that begins an order after another did counts none', async (t) => {
  const { cmdb, open } = await openCmdb(t);
  const one = node(t, cmdb, gives(), { me: 'one' });
  const slow = open();
  const authority = gives();
  const name = one.documents.nameOf(`domain:${shop}`);
  const store: Store = {
    find: (query) => slow.find(query),
    sealed: (document) => slow.sealed(document),
    changeSealed: async (document, change) => {
      if (document === name) await one.certificates.find(shop);
      return slow.changeSealed(document, change);
    },
  };
  const two = node(t, store, authority, { me: 'two' });
  t.ok(await two.certificates.find(shop));
  t.same([...authority.asked, ...two.orders], []);
  const counted = await one.documents.read<{ fullAt: number }>('budget');
  t.ok(counted && counted.fullAt <= Date.now() + (3 * 3_600_000) / 200, 'one of 200 in three hours');
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
    const { store, away } = breakable(cmdb);
    const { clock, wait } = movableClock();
    const authority = authorityOf((domain) => makeCertificate([domain], { days: 30 }));
    const { certificates } = node(t, store, authority, { clock });
    const before = await certificates.find('shop.example.org');
    wait(10 * dayMs);
    away(true);
    t.equal((await certificates.find('shop.example.org'))?.id, before?.id);
    wait(12 * dayMs);
    away(false);
    t.equal((await certificates.find('shop.example.org'))?.id, before?.id, 'at once, while another is ordered');
    await eventually(async () => {
      wait(120_000);
      return (await certificates.find('shop.example.org'))?.id !== before?.id;
    });
    t.same(authority.asked, ['shop.example.org', 'shop.example.org']);
  },
);

const dayMs = 86_400_000;
const shop = 'shop.example.org';

/** A store that can be away. */
function breakable(cmdb: Cmdb): { readonly store: Store; away(isAway: boolean): void } {
  let isAway = false;
  const orAway = <T>(run: () => Promise<T>) => (isAway ? Promise.reject(new Error('the store is away')) : run());
  const store: Store = {
    find: (query) => orAway(() => cmdb.find(query)),
    sealed: (name) => orAway(() => cmdb.sealed(name)),
    changeSealed: (name, change) => orAway(() => cmdb.changeSealed(name, change)),
  };
  return { store, away: (now) => void (isAway = now) };
}

function movableClock(): { readonly clock: Clock; wait(ms: number): void } {
  let movedMs = 0;
  const clock: Clock = {
    now: () => Date.now() + movedMs,
    monotonic: () => systemClock.monotonic(),
    after: (_ms, run) => systemClock.after(10, run),
  };
  return { clock, wait: (ms) => void (movedMs += ms) };
}

t.test('a record that another key sealed, or that was moved, counts as none, and is named and made anew', async (t) => {
  const { cmdb } = await openCmdb(t);
  const authority = gives();
  const { certificates, documents, broken } = node(t, cmdb, authority);
  const own = await certificates.find(shop);
  const [from, to] = [`domain:${shop}`, 'domain:away.example.org'].map((name) => documents.nameOf(name));
  const stolen = await cmdb.sealed(from!);
  await cmdb.changeSealed(to!, () => stolen);
  const found = await certificates.find('away.example.org');
  t.match(new X509Certificate(found?.pair?.cert ?? '').subjectAltName, /away/);
  t.ok(broken.length > 0 && broken.every((name) => name === 'domain:away.example.org'));
  t.same(authority.asked, [shop, 'away.example.org']);
  t.equal((await certificates.find(shop))?.id, own?.id, 'other domains are not concerned');
  await cmdb.changeSealed(documents.nameOf('budget'), () => 'nonsense');
  t.ok(await node(t, cmdb, authority).certificates.find('away.example.org'));
});

t.test('the names below a wildcard share a certificate, which a record in its zone proves', needsPebble, async (t) => {
  const { cmdb } = await openCmdb(t);
  const { directory, caFile, zones } = await startPebble(t, 1);
  const script = `const [action, host, value] = process.argv.slice(1);
    fetch('${zones}/' + (action === 'set' ? 'set-txt' : 'clear-txt'), { method: 'POST', body: JSON.stringify({ host: host + '.', value }) });`;
  const dns = new DnsHook({ command: [process.execPath, '-e', script], timeoutMs: 60_000 });
  let looks = 0;
  const counted: Store = {
    find: (query) => ((looks += 1), cmdb.find(query)),
    sealed: (name) => cmdb.sealed(name),
    changeSealed: (name, change) => cmdb.changeSealed(name, change),
  };
  const { certificates, orders } = node(t, counted, new AcmeAuthority({ directory, caFile }), { dns });
  const both = await Promise.all(['a', 'b'].map((name) => certificates.find(`${name}.wild.example.org`)));
  t.same(orders, ['*.wild.example.org ordered']);
  t.equal(both[0]?.id, both[1]?.id);
  t.equal(new X509Certificate(both[0]?.pair?.cert ?? '').subjectAltName, 'DNS:*.wild.example.org');
  const before = looks;
  for (let index = 0; index < 100; index += 1) t.ok(await certificates.find(`n${index}.wild.example.org`));
  t.equal(looks, before, 'names that somebody makes up cost the store nothing');
  t.equal(await certificates.find('a.b.wild.example.org'), undefined);
});

/** An authority that looks for a proof, and a hook whose calls append a line to a file and then do as the script says. */
async function wildcards(t: Test, script: string) {
  const dir = await mkdtemp(join(tmpdir(), 'fastcontainer-wildcards-'));
  t.teardown(() => rm(dir, { recursive: true, force: true }));
  const out = join(dir, 'out');
  const command = ['/bin/sh', '-c', `echo $1 $$ >> ${out}; ${script}`, 'hook'];
  const giving = gives();
  const authority: Authority = {
    ...giving,
    order: async (terms) => {
      await terms.publish({ token: 'abc', answer: 'abc.key' });
      return giving.order(terms);
    },
  };
  const calls = async () => (await readFile(out, 'utf8').catch(() => '')).trim().split('\n');
  return { authority, dns: new DnsHook({ command, timeoutMs: 120_000 }), calls };
}

t.test('nobody waits until the record of a wildcard is removed, and the daemon ends all the same', async (t) => {
  const { cmdb } = await openCmdb(t);
  const { authority, dns, calls } = await wildcards(t, 'test $1 = set || exec sleep 1000');
  const { certificates, orders } = node(t, cmdb, authority, { dns, clock: movableClock().clock });
  t.ok((await certificates.find('a.wild.example.org'))?.pair);
  await eventually(async () => (await calls()).length === 2);
  await certificates.close();
  t.match(orders, ['*.wild.example.org ordered', /unclean .*given up with its order at unset/]);
});

t.test('a record that is being written when the daemon ends is removed', async (t) => {
  const { cmdb } = await openCmdb(t);
  const { authority, dns, calls } = await wildcards(t, 'test $1 = unset || exec sleep 1000');
  const patient: Clock = { ...systemClock, after: (ms, run) => systemClock.after(20 * ms, run) };
  const { certificates, orders } = node(t, cmdb, authority, { dns, clock: patient });
  const waits = certificates.find('a.wild.example.org');
  await eventually(async () => (await calls())[0]?.startsWith('set'));
  await certificates.close();
  t.equal(await waits, undefined);
  t.match(await calls(), [/^set/, /^unset/]);
  t.same(orders, []);
});

t.test('a second authority is asked for what the first does not give', async (t) => {
  const { cmdb } = await openCmdb(t);
  const [away, there] = [refuses(), gives()];
  const { certificates, documents, orders } = node(t, cmdb, { [first]: away, [second]: there });
  t.ok(await certificates.find(shop));
  t.same(orders, [`${shop} ordered`]);
  t.same([away.asked, there.asked], [[shop], [shop]]);
  t.equal((await documents.read<DomainRecord>(`domain:${shop}`))?.from, second);
  const both = await openCmdb(t);
  const none = node(t, both.cmdb, { [first]: refuses(), [second]: refuses(new Error('no')) });
  t.equal(await none.certificates.find(shop), undefined);
  t.same(none.orders, [`${shop} failed first.example: the authority is away; second.example: no`]);
});

t.test('an authority that wants to be left alone is, for as long as it says, by every node', async (t) => {
  const { cmdb, open } = await openCmdb(t);
  const { clock, wait } = movableClock();
  const busy = refuses(new AuthorityError('429 too many', { retryAfterMs: 3_600_000 }));
  const one = node(t, cmdb, busy, { clock, me: 'one' });
  const two = node(t, open(), busy, { clock, me: 'two' });
  t.equal(await one.certificates.find(shop), undefined);
  wait(30 * 60_000);
  for (const { certificates } of [one, two]) t.equal(await certificates.find(shop), undefined);
  t.equal(busy.asked.length, 1);
  wait(31 * 60_000);
  await two.certificates.find(shop);
  t.equal(busy.asked.length, 2);
});

t.test('a certificate that the store does not take is used at once, and stored when it can be', async (t) => {
  const { cmdb, open } = await openCmdb(t);
  const { store, away } = breakable(cmdb);
  const { clock, wait } = movableClock();
  const authority = authorityOf(async (domain) => {
    const pair = await makeCertificate([domain]);
    away(true);
    return pair;
  });
  const { certificates, orders } = node(t, store, authority, { clock });
  const found = await certificates.find(shop).catch(() => certificates.find(shop));
  t.match(found?.id, /^ordered/);
  t.same(orders, [`${shop} ordered`, `${shop} unsaved the store is away`]);
  wait(120_000);
  t.equal((await certificates.find(shop))?.id, found?.id);
  away(false);
  await eventually(async () => orders.includes(`${shop} saved`));
  t.equal((await node(t, open(), refuses()).certificates.find(shop))?.id, found?.id);
  t.same(authority.asked, [shop]);
});

t.test('an authority decides when its certificate is renewed, and hears what the new one replaces', async (t) => {
  const { cmdb } = await openCmdb(t);
  const { clock, wait } = movableClock();
  let asks = 0;
  const window = { start: clock.now() + 1.5 * dayMs, end: clock.now() + 2 * dayMs };
  const authority = authorityOf(
    (domain) => makeCertificate([domain], { days: 10 }),
    async () => ({ window, askAt: clock.now() + (asks += 1) * 3_600_000 }),
  );
  const { certificates } = node(t, cmdb, authority, { clock });
  const before = await certificates.find(shop);
  const visit = async () => {
    wait(120_000);
    return certificates.find(shop);
  };
  await visit();
  await eventually(async () => (await visit()) && asks === 1);
  t.equal((await certificates.find(shop))?.id, before?.id);
  wait(2 * dayMs);
  await eventually(async () => (await visit())?.id !== before?.id);
  t.equal(authority.terms.length, 2);
  t.equal(authority.terms[1]?.replaces, before?.pair?.cert);
});

t.test('a node whose clock is a year ahead keeps no domain from the others', async (t) => {
  const { cmdb, open } = await openCmdb(t);
  const ahead = movableClock();
  ahead.wait(365 * dayMs);
  const wrong = node(t, cmdb, refuses(), { me: 'wrong', clock: ahead.clock });
  t.equal(await wrong.certificates.find(shop), undefined);
  const right = node(t, open(), gives(), { me: 'right' });
  t.ok(await right.certificates.find(shop));
});
