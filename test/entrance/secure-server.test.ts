import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { Certificates } from '../../src/entrance/certificates.js';
import { type CloseCause, ConnectionBounds } from '../../src/entrance/connection-bounds.js';
import { createListener } from '../../src/entrance/listener.js';
import type { HandshakeResult, SecureTerms } from '../../src/entrance/secure-server.js';
import { Clients } from '../../src/forward/clients.js';
import type { CertificatePair, FoundCertificate } from '../../src/model/certificate.js';
import { makeCertificate } from '../fixtures/certificates.js';
import { eventually } from '../fixtures/eventually.js';
import { askSecure, certificateFor, shake } from '../fixtures/secure.js';

const ec = await makeCertificate(['shop.example']);
const rsa = await makeCertificate(['old.example'], { kind: 'rsa' });
const other = await makeCertificate(['fallback.example']);

/** A listener that answers with what it was asked, over certificates of a test. */
async function serve(
  t: Test,
  found: (name: string, have?: string) => Promise<FoundCertificate | undefined>,
  more: Partial<SecureTerms> & { readonly maxConnections?: number } = {},
) {
  const { maxConnections = 10_000, ...terms } = more;
  const handshakes: HandshakeResult[] = [];
  const closed: CloseCause[] = [];
  const certificates = new Certificates({ source: { find: found }, onUnusable: () => {} });
  const bounds = new ConnectionBounds({
    ...{ max: maxConnections, maxPerClient: maxConnections, clients: new Clients([]) },
    onClosed: (cause) => void closed.push(cause),
  });
  const listener = createListener({
    ...{ maxHeaderSizeBytes: 16_384, headersTimeoutMs: 60_000, keepAliveTimeoutMs: 75_000, bounds },
    onRequest: (req, res) => res.end(`${req.method} ${req.url}`),
    onUpgrade: (_req, socket) => void socket.destroy(),
    onRefused: () => {},
    onAcceptFailed: () => {},
    tls: {
      ...{ certificates, unknown: 'refuse', handshakeTimeoutMs: 60_000, ticketKeys: randomBytes(48) },
      onHandshake: (result) => void handshakes.push(result),
      ...terms,
    },
  });
  const port = Number((await listener.listen({ host: '127.0.0.1', port: 0 })).split(':').at(-1));
  t.teardown(() => listener.destroy());
  return { port, handshakes, closed, bounds, certificates, listener };
}

const one =
  (pair: CertificatePair, name = 'shop.example') =>
  async (asked: string): Promise<FoundCertificate | undefined> =>
    asked === name ? { id: '1', pair } : undefined;

t.test('a client gets the certificate of the host that it names', async (t) => {
  const pairs = new Map([ec, rsa].map((pair, index) => [['shop.example', 'old.example'][index], pair]));
  const { port, handshakes } = await serve(t, async (name) => {
    const pair = pairs.get(name);
    return pair && { id: name, pair };
  });
  t.same(await certificateFor(port, 'shop.example'), { subject: 'shop.example', kind: 'ec' });
  t.same(await certificateFor(port, 'SHOP.example'), { subject: 'shop.example', kind: 'ec' });
  t.same(await certificateFor(port, 'old.example', { maxVersion: 'TLSv1.2' }), {
    subject: 'old.example',
    kind: 'rsa 2048',
  });
  await eventually(() => handshakes.length === 3);
  t.same(handshakes, ['full', 'full', 'full']);
  t.match(await askSecure(port, 'shop.example', '/x'), { status: 200, body: 'GET /x' });
});

t.test('a name without a certificate is refused with the alert that says so, or gets the default', async (t) => {
  const { port, handshakes } = await serve(t, one(ec));
  t.same(await certificateFor(port, 'nowhere.example'), { error: 'ERR_SSL_TLSV1_UNRECOGNIZED_NAME' });
  await eventually(() => handshakes.length === 1);
  t.same(handshakes, ['unknown_name']);
  const withDefault = await serve(t, async (name) => (name === '' ? { id: 'd', pair: other } : undefined), {
    unknown: 'default',
  });
  t.same(await certificateFor(withDefault.port, 'nowhere.example'), { subject: 'fallback.example', kind: 'ec' });
});

t.test('a client that names no host gets the default, and without one is refused', async (t) => {
  let isRenewed = false;
  const { port, listener, certificates } = await serve(t, async (name) =>
    name === '' ? { id: 'd', pair: isRenewed ? ec : other } : undefined,
  );
  t.same(await certificateFor(port, undefined), { subject: 'fallback.example', kind: 'ec' });
  isRenewed = true;
  certificates.changed();
  await listener.secure?.refresh();
  t.same(await certificateFor(port, undefined), { subject: 'shop.example', kind: 'ec' }, 'also when it changes');
  const none = await serve(t, async () => undefined);
  t.match(await certificateFor(none.port, undefined), { error: /HANDSHAKE_FAILURE/ });
});

t.test('names of odd bytes and lengths reach no certificate and break nothing', async (t) => {
  const asked: string[] = [];
  const { port } = await serve(t, async (name) => {
    if (name !== '') asked.push(name);
    return one(ec)(name);
  });
  for (const name of [
    'a'.repeat(255),
    `${'a.'.repeat(127)}a`,
    'sh\xf6p.example',
    '-x.example',
    '../etc',
    'a..b',
    '*.example',
    '.',
    ' ',
    'a b',
  ])
    t.match(
      await certificateFor(port, name),
      { error: /UNRECOGNIZED_NAME|EPROTO|ECONNRESET|DECODE/ },
      JSON.stringify(name),
    );
  t.same(
    asked.filter((name) => !/^[a-z0-9_.-]+$/.test(name)),
    [],
    'nothing else is looked for',
  );
  t.same(await certificateFor(port, 'shop.example'), { subject: 'shop.example', kind: 'ec' });
});

t.test('no old version of TLS, no weak cipher and no renegotiation is taken', async (t) => {
  const { port } = await serve(t, one(rsa));
  for (const weak of [
    { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' },
    { maxVersion: 'TLSv1.2', ciphers: 'AES128-SHA:@SECLEVEL=0' },
    { maxVersion: 'TLSv1.2', ciphers: 'ECDHE-RSA-AES128-SHA:@SECLEVEL=0' },
  ] as const)
    t.match(await certificateFor(port, 'shop.example', weak), { error: /VERSION|HANDSHAKE_FAILURE/ }, weak.ciphers);
  const socket = await shake(port, 'shop.example', { maxVersion: 'TLSv1.2' });
  const error = await new Promise<Error | null>((resolve) => {
    socket.once('error', resolve);
    socket.renegotiate({}, resolve);
  });
  t.match(error, { message: /renegotiation|RENEGOTIATION/i });
});

t.test('HTTP/2 is not offered yet: a client that can do both gets HTTP/1.1', async (t) => {
  const { port } = await serve(t, one(ec));
  const socket = await shake(port, 'shop.example', { ALPNProtocols: ['h2', 'http/1.1'] });
  t.equal(socket.alpnProtocol, 'http/1.1');
  socket.destroy();
});

t.test(
  'a client resumes its session, also with another process that has the same ticket keys, until they change',
  async (t) => {
    const ticketKeys = randomBytes(48);
    const first = await serve(t, one(ec), { ticketKeys });
    const second = await serve(t, one(ec), { ticketKeys });
    for (const maxVersion of ['TLSv1.2', 'TLSv1.3'] as const) {
      const socket = await shake(first.port, 'shop.example', { maxVersion });
      const session = maxVersion === 'TLSv1.2' ? socket.getSession() : ((await once(socket, 'session')) as [Buffer])[0];
      socket.destroy();
      const again = await shake(second.port, 'shop.example', { maxVersion, session: session! });
      t.equal(again.isSessionReused(), true, maxVersion);
      again.destroy();
      second.listener.secure?.setTicketKeys(randomBytes(48));
      const late = await shake(second.port, 'shop.example', { maxVersion, session: session! });
      t.equal(late.isSessionReused(), false, `${maxVersion}, after the keys have changed`);
      late.destroy();
      second.listener.secure?.setTicketKeys(ticketKeys);
    }
  },
);

t.test('a certificate that is in use survives an outage of what it came from', async (t) => {
  let isAway = false;
  const { port, certificates, handshakes } = await serve(t, async (name) => {
    if (isAway) throw new Error('away');
    return one(ec)(name);
  });
  t.match(await certificateFor(port, 'shop.example'), { subject: 'shop.example' });
  isAway = true;
  certificates.changed();
  t.match(await certificateFor(port, 'shop.example'), { subject: 'shop.example' });
  t.match(await certificateFor(port, 'cold.example'), { error: 'ECONNRESET' });
  await eventually(() => handshakes.includes('unavailable'));
});

t.test('clients that stall in the handshake are closed in time, and make room for others before', async (t) => {
  const { port, handshakes, bounds, closed } = await serve(t, one(ec), {
    handshakeTimeoutMs: 1_000,
    maxConnections: 200,
  });
  const hello = await clientHello(t);
  const stalled: Socket[] = [];
  for (let count = 0; count < 2_000; count += 1) {
    const socket = connect(port, '127.0.0.1');
    socket.on('error', () => {});
    socket.write(hello.subarray(0, count % hello.length));
    stalled.push(socket);
    if (count % 100 === 0) await once(socket, 'connect');
  }
  t.match(await certificateFor(port, 'shop.example'), { subject: 'shop.example' }, 'others are served meanwhile');
  await eventually(() => stalled.every(({ destroyed }) => destroyed));
  await eventually(() => bounds.open === 0);
  t.ok(handshakes.includes('timeout') || closed.length > 0);
  t.match(await certificateFor(port, 'shop.example'), { subject: 'shop.example' });
});

t.test('a client that sends its handshake byte by byte has no more time than another', async (t) => {
  const { port, handshakes } = await serve(t, one(ec), { handshakeTimeoutMs: 1_000 });
  const hello = await clientHello(t);
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  let at = 0;
  const drip = setInterval(() => socket.write(hello.subarray(at, (at += 1))), 50);
  await once(socket, 'close');
  clearInterval(drip);
  t.ok(at < hello.length - 1, 'long before it was done');
  t.same(handshakes, ['timeout']);
});

t.test('bytes that are no handshake end their own connection only', async (t) => {
  const { port, handshakes, bounds } = await serve(t, one(ec));
  const hello = await clientHello(t);
  const sends: Buffer[] = [
    Buffer.from('GET / HTTP/1.1\r\nHost: shop.example\r\n\r\n'),
    Buffer.from('PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n'),
    Buffer.from([0x16, 3, 1, 0xff, 0xff, ...randomBytes(200)]),
    Buffer.from([0x15, 3, 3, 0, 2, 2, 40]),
    Buffer.from([0x17, 3, 3, 0, 1, 0]),
    Buffer.concat([hello, hello]),
    ...Array.from({ length: 60 }, (_, index) => {
      const bent = Buffer.from(hello);
      const at = (index * 7) % bent.length;
      bent[at] = ~(bent[at] as number) & 0xff;
      return bent;
    }),
  ];
  await Promise.all(
    sends.map(async (bytes) => {
      const socket = connect(port, '127.0.0.1');
      socket.on('error', () => {});
      socket.resume();
      socket.end(bytes);
      await once(socket, 'close');
    }),
  );
  await eventually(() => bounds.open === 0);
  t.equal(handshakes.filter((result) => result === 'full').length, 0);
  t.match(await certificateFor(port, 'shop.example'), { subject: 'shop.example' });
});

t.test('a handshake that is under way does not hold up the end of the listener', async (t) => {
  const { port, listener, bounds } = await serve(t, one(ec));
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  socket.write((await clientHello(t)).subarray(0, 20));
  await eventually(() => bounds.open === 1);
  await listener.close();
  await eventually(() => socket.destroyed);
});

t.test('a certificate of the client and early data are not asked for and not taken', async (t) => {
  const { port } = await serve(t, one(ec));
  t.match(await certificateFor(port, 'shop.example', { ...ec }), { subject: 'shop.example' });
  const told = await new Promise<string>((resolve) => {
    const child = execFile(
      'openssl',
      ['s_client', '-connect', `127.0.0.1:${port}`, '-servername', 'shop.example', '-tls1_3', '-ign_eof'],
      (_error, stdout) => resolve(stdout),
    );
    child.stdin?.end('GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n');
  });
  t.match(told, /HTTP\/1\.1 200/);
  t.match(told, /Early data was not sent/);
  t.match(told, /No client certificate CA names sent/);
  t.match(told, /Max Early Data: 0/);
});

/** The first bytes of a client that names shop.example. */
async function clientHello(t: Test): Promise<Buffer> {
  const { createServer } = await import('node:net');
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const shaking = shake(port, 'shop.example').catch(() => {});
  const [socket] = (await once(server, 'connection')) as [Socket];
  const [bytes] = (await once(socket, 'data')) as [Buffer];
  socket.destroy();
  await shaking;
  t.teardown(() => server.close());
  server.close();
  return bytes;
}
