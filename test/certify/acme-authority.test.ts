import { X509Certificate } from 'node:crypto';
import t from 'tap';
import { AcmeAuthority } from '../../src/certify/acme-authority.js';
import { AuthorityError } from '../../src/certify/authority.js';
import { certificateId } from '../../src/certify/renewal-info.js';
import { needsPebble, startPebble } from '../fixtures/pebble.js';
import { startSmallAuthority } from '../fixtures/small-authority.js';

const alive = setInterval(() => {}, 1_000);
t.teardown(() => clearInterval(alive));

const { signal } = new AbortController();
const publish = async () => {};
const domain = 'shop.example.org';
const proof = 'http-01';

t.test('an authority says when a certificate is to be renewed, and hears which one the new one replaces', async (t) => {
  const small = await startSmallAuthority(t);
  const authority = new AcmeAuthority(small);
  const now = Date.now();
  const account = await authority.newAccount();
  const first = await authority.order({ domain, account, proof, publish, signal });
  t.equal(new X509Certificate(first.pair.cert).subjectAltName, `DNS:${domain}`);
  const [start, end] = [new Date(now + 3_600_000), new Date(now + 7_200_000)];
  small.window = { start: start.toISOString(), end: end.toISOString() };
  t.same(await authority.renewal(first.pair.cert, now, signal), {
    window: { start: start.getTime(), end: end.getTime() },
    askAt: now + 7_200_000,
  });
  const id = certificateId(first.pair.cert);
  t.match(id, /^[\w-]{27}\.AIdlQyE$/, 'key identifier, and serial number with the zero of its sign');
  t.same(small.asked, [id]);
  await authority.order({ domain, account: first.account, proof, publish, signal, replaces: first.pair.cert });
  small.refusal = { status: 409, type: 'alreadyReplaced' };
  await authority.order({ domain, account: first.account, proof, publish, signal, replaces: first.pair.cert });
  const identifiers = [{ type: 'dns', value: domain }];
  t.same(small.orders, [
    { identifiers },
    { identifiers, replaces: id },
    { identifiers, replaces: id },
    { identifiers },
  ]);
  small.window = { start: end.toISOString(), end: start.toISOString() };
  t.same(
    await authority.renewal(first.pair.cert, now, signal),
    { askAt: now + 7_200_000 },
    'a window of no use is none',
  );
});

t.test('an authority that wants to be left alone says for how long', async (t) => {
  const small = await startSmallAuthority(t);
  const authority = new AcmeAuthority(small);
  const account = await authority.newAccount();
  const refused = async (retryAfter?: string) => {
    small.refusal = { status: 429, type: 'rateLimited', ...(retryAfter !== undefined && { retryAfter }) };
    const error: unknown = await authority
      .order({ domain, account, proof, publish, signal })
      .catch((reason: unknown) => reason);
    t.type(error, AuthorityError);
    return (error as AuthorityError).retryAfterMs;
  };
  t.equal(await refused('3600'), 3_600_000);
  const until = await refused(new Date(Date.now() + 600_000).toUTCString());
  t.ok(until !== undefined && until > 0 && until <= 600_000);
  t.equal(await refused('soon'), undefined);
  t.equal(await refused(), undefined);
});

t.test('an account is bound to the one that the operator has at the authority', needsPebble, async (t) => {
  const hmac = Buffer.from('a key of thirty-two bytes, or so').toString('base64url');
  const { directory, caFile } = await startPebble(t, 1, { 'kid-1': hmac });
  const order = (eab?: { kid: string; hmac: string }) => {
    const authority = new AcmeAuthority({ directory, caFile, ...(eab && { eab }) });
    const registered = new Error('it is registered');
    const until = () => Promise.reject(registered);
    return authority
      .newAccount()
      .then((account) => authority.order({ domain, account, proof, publish: until, signal }))
      .catch((error: Error) => (error === registered ? 'registered' : error.message));
  };
  t.match(await order(), /externalAccountRequired/);
  t.match(await order({ kid: 'kid-1', hmac: Buffer.alloc(32).toString('base64url') }), /40[013]/);
  t.equal(await order({ kid: 'kid-1', hmac }), 'registered');
});
