import { randomBytes } from 'node:crypto';
import type { ClientRequest, ClientResponse } from '../../src/forward/client-message.js';
import { connect } from 'node:net';
import { connect as connectTls } from 'node:tls';
import t, { type Test } from 'tap';
import { Certificates } from '../../src/entrance/certificates.js';
import { type CloseCause, ConnectionBounds } from '../../src/entrance/connection-bounds.js';
import { createListener } from '../../src/entrance/listener.js';
import { Clients } from '../../src/forward/clients.js';
import { makeCertificate } from '../fixtures/certificates.js';
import { eventually } from '../fixtures/eventually.js';
import { sendRaw } from '../fixtures/raw.js';

const request = 'GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n';
const pair = await makeCertificate(['shop.example']);

interface Terms {
  readonly secure?: boolean;
  readonly trustedProxies?: readonly string[];
  readonly maxPerClient?: number;
  readonly headersTimeoutMs?: number;
}

/** A listener that expects PROXY headers of 127.0.0.1, and answers with the client that it sees. */
async function serve(t: Test, terms: Terms = {}) {
  const { secure = false, trustedProxies = ['127.0.0.1'], maxPerClient = 100, headersTimeoutMs = 60_000 } = terms;
  const clients = new Clients(trustedProxies);
  const closed: CloseCause[] = [];
  const refused: string[] = [];
  const codes: string[] = [];
  const bounds = new ConnectionBounds({
    max: 1_000,
    maxPerClient,
    clients,
    onClosed: (cause) => void closed.push(cause),
  });
  const certificates = new Certificates({ source: { find: async () => ({ id: '1', pair }) }, onUnusable: () => {} });
  const listener = createListener({
    ...{ maxHeaderSizeBytes: 16_384, headersTimeoutMs, keepAliveTimeoutMs: 75_000, bounds },
    proxied: { clients, onRefused: (_socket, reason) => void refused.push(reason) },
    ...(secure && {
      tls: {
        ...{ certificates, unknown: 'refuse', handshakeTimeoutMs: 60_000, ticketKeys: randomBytes(48) },
        onHandshake: () => {},
      },
    }),
    onRequest: ({ socket }: ClientRequest, res: ClientResponse) => {
      const { client, trusted, scheme } = clients.peerOf(socket);
      res.end(`${scheme} ${client}${trusted ? ' trusted' : ''}`);
    },
    onUpgrade: (_req, socket) => void socket.destroy(),
    onRefused: ({ code }, socket) => void codes.push(`${code} ${clients.peerOf(socket).client}`),
    onAcceptFailed: () => {},
  });
  const port = Number((await listener.listen({ host: '127.0.0.1', port: 0 })).split(':').at(-1));
  t.teardown(() => listener.destroy());
  return { port, bounds, closed, refused, codes, listener };
}

const bodyOf = (answer: string) => answer.slice(answer.indexOf('\r\n\r\n') + 4);
const of = (address: string) => `PROXY TCP4 ${address} 198.51.100.1 1000 80\r\n`;

t.test('a request is from the client that the header names, in whatever pieces both come', async (t) => {
  const { port, refused } = await serve(t);
  const bytes = of('192.0.2.7') + request;
  t.equal(bodyOf(await sendRaw(port, bytes)), 'http 192.0.2.7');
  for (const at of [1, 5, of('192.0.2.7').length - 1, of('192.0.2.7').length, bytes.length - 1]) {
    const socket = connect({ port, host: '127.0.0.1', noDelay: true });
    let answer = '';
    socket.on('data', (chunk: Buffer) => (answer += chunk.toString()));
    socket.write(bytes.slice(0, at));
    await eventually(() => socket.bytesWritten === at && socket.writableLength === 0);
    socket.write(bytes.slice(at));
    await new Promise((resolve) => socket.once('close', resolve));
    t.equal(bodyOf(answer), 'http 192.0.2.7', `cut after ${at}`);
  }
  t.equal(
    bodyOf(await sendRaw(port, `PROXY UNKNOWN\r\n${request}`)),
    'http unknown',
    'not the proxy, which is trusted',
  );
  const local = Buffer.concat([Buffer.from('0d0a0d0a000d0a515549540a20000000', 'hex'), Buffer.from(request)]);
  t.equal(bodyOf(await sendRaw(port, local)), 'http 127.0.0.1 trusted', 'a health check of the proxy');
  t.same(refused, []);
});

t.test('a client behind the proxy cannot send a header of its own, nor a second one be believed', async (t) => {
  const { port, codes } = await serve(t);
  t.match(await sendRaw(port, of('192.0.2.7') + of('203.0.113.9') + request), /^HTTP\/1\.1 400 /);
  t.same(codes, ['bad_request 192.0.2.7']);
});

t.test(
  'a proxy without a header is closed unanswered; one that only looks whether the port is open is no fault',
  async (t) => {
    const { port, refused, bounds } = await serve(t);
    t.equal(await sendRaw(port, request), '');
    t.same(refused, ['it does not begin with a PROXY header']);
    const socket = connect(port, '127.0.0.1', () => socket.end());
    await new Promise((resolve) => socket.once('close', resolve));
    await eventually(() => bounds.open === 0);
    t.equal(refused.length, 1);
  },
);

t.test('a header that does not come is not waited for', async (t) => {
  const { port, refused } = await serve(t, { headersTimeoutMs: 200 });
  const socket = connect(port, '127.0.0.1', () => socket.write('PROXY TCP4 192.0.2'));
  await new Promise((resolve) => socket.once('close', resolve));
  t.same(refused, ['its PROXY header did not come in time']);
});

t.test('everybody else is a client of its own, without a header', async (t) => {
  const { port, codes } = await serve(t, { trustedProxies: ['192.0.2.1'] });
  t.equal(bodyOf(await sendRaw(port, request)), 'http 127.0.0.1');
  t.match(await sendRaw(port, of('192.0.2.7') + request), /^HTTP\/1\.1 400 /, 'a header of a stranger is none');
  t.same(codes, ['bad_request 127.0.0.1']);
});

t.test('connections are bounded for each client behind the proxy, not for the proxy', async (t) => {
  const { port, closed, bounds } = await serve(t, { maxPerClient: 1 });
  const open = async (bytes: string, held: number) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
    socket.on('error', () => {});
    t.teardown(() => socket.destroy());
    await eventually(() => bounds.open === held);
    return socket;
  };
  await open(of('192.0.2.7'), 1);
  await open(of('192.0.2.8'), 2);
  t.equal(bodyOf(await sendRaw(port, of('192.0.2.7') + request)), 'http 192.0.2.7');
  t.same(closed, ['room'], 'the idle one of the same client gave way');
});

t.test('TLS begins after the header', async (t) => {
  const { port, bounds, listener } = await serve(t, { secure: true });
  const ask = (header: string) =>
    new Promise<string>((resolve, reject) => {
      const below = connect(port, '127.0.0.1', () => {
        below.write(header);
        const socket = connectTls({ socket: below, servername: 'shop.example', rejectUnauthorized: false }, () =>
          socket.write(request),
        );
        let answer = '';
        socket.on('data', (chunk: Buffer) => (answer += chunk.toString()));
        socket.on('error', reject);
        socket.on('close', () => resolve(bodyOf(answer)));
      });
    });
  t.equal(await ask(of('192.0.2.7')), 'https 192.0.2.7');
  t.equal(await ask('PROXY TCP6 2001:db8::7 2001:db8::1 1000 80\r\n'), 'https 2001:db8:0:0::/64');
  const begun = connect(port, '127.0.0.1', () => begun.write('PROXY'));
  begun.on('error', () => {});
  await eventually(() => bounds.open === 1);
  await listener.close();
  t.ok(await eventually(() => bounds.open === 0), 'a connection whose header is on its way does not hold up the end');
});
