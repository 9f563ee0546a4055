import { connect } from 'node:net';
import t from 'tap';
import { eventually } from '../fixtures/eventually.js';
import { ok, rawUpstream, sendRaw } from '../fixtures/raw.js';
import { startRelay } from '../fixtures/relay.js';

const behind = 'GET /behind HTTP/1.1\r\nHost: a\r\n\r\n';
const chunks = '5\r\nhello\r\n0\r\n\r\n';

/** Requests after whose refusal, or by whose own wish, the connection ends. */
const lasts: Record<string, [bytes: string, answers: RegExp]> = {
  'identity, chunked': [
    `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity, chunked\r\n\r\n${chunks}`,
    /^HTTP\/1\.1 400 /,
  ],
  'x and chunked': [
    `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}`,
    /^HTTP\/1\.1 400 /,
  ],
  'chunked in HTTP/1.0': [
    `POST / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}`,
    /^HTTP\/1\.1 400 /,
  ],
  'both framings': [
    `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n${chunks}`,
    /^HTTP\/1\.1 400 /,
  ],
  'two hosts': ['GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', /^HTTP\/1\.1 400 /],
  'no host': ['GET / HTTP/1.1\r\n\r\n', /^HTTP\/1\.1 400 /],
  'a bad target': ['GET x HTTP/1.1\r\nHost: a\r\n\r\n', /^HTTP\/1\.1 400 /],
  'HTTP/1.2': ['GET / HTTP/1.2\r\nHost: a\r\n\r\n', /^HTTP\/1\.1 400 /],
  'a bad header': ['GET / HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n', /^HTTP\/1\.1 400 /],
  'a bad chunk': ['POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n', /^HTTP\/1\.1 400 /],
  'a tunnel': ['CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n', /^HTTP\/1\.1 400 /],
  'a body that is too large': [
    `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n${'x'.repeat(2_000)}`,
    /^HTTP\/1\.1 413 /,
  ],
  'too large a header': [`GET / HTTP/1.1\r\nHost: a\r\nX: ${'y'.repeat(20_000)}\r\n\r\n`, /^HTTP\/1\.1 431 /],
  'Connection: close': ['GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n', /^HTTP\/1\.1 200 /],
  'HTTP/1.0': ['GET / HTTP/1.0\r\nHost: a\r\n\r\n', /^HTTP\/1\.1 200 /],
  'an offer of HTTP/2': [
    'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n',
    /^HTTP\/1\.1 200 /,
  ],
};

for (const [name, [bytes, answers]] of Object.entries(lasts)) {
  t.test(`what stands behind the last request of a connection (${name}) reaches no app`, async (t) => {
    const upstream = await rawUpstream(t, (socket) => void socket.write(ok));
    const relay = await startRelay(t, { upstreamPort: upstream.port, app: { maxRequestBodyBytes: 1_000 } });
    for (let round = 0; round < 10; round += 1) {
      const answer = await sendRaw(relay.port, bytes + behind.repeat(3), 2_000);
      t.match(answer, answers);
      t.equal(answer.split('HTTP/1.1 ').length, 2, 'one answer');
    }
    const before = await sendRaw(relay.port, `${bytes}G@\r\n\r\n`, 2_000);
    t.equal(before.split('HTTP/1.1 ').length, 2, 'nor is what cannot be parsed answered behind it');
    t.notMatch(upstream.received.join(''), /behind/);
    await eventually(() => relay.seats.open.size === 0);
  });
}

t.test('a request is answered though garbage stands behind it, and that is refused after it', async (t) => {
  const upstream = await rawUpstream(t, (socket) => void setTimeout(() => socket.write(ok), 50));
  const relay = await startRelay(t, { upstreamPort: upstream.port });
  const get = (headers: string) => `GET / HTTP/1.1\r\nHost: a\r\n${headers}\r\n`;
  const kept = await sendRaw(relay.port, `${get('')}garbage\r\n\r\n${behind}`, 2_000);
  t.match(kept, /^HTTP\/1\.1 200 OK\r\n.*\r\n\r\nokHTTP\/1\.1 400 .*x-fastcontainer-error: bad_request/s);
  const last = await sendRaw(relay.port, `${get('Connection: close\r\n')}garbage\r\n\r\n`, 2_000);
  t.match(last, /^HTTP\/1\.1 200 OK\r\n.*\r\n\r\nok$/s);
  const large = await sendRaw(relay.port, get('') + 'x'.repeat(300_000), 2_000);
  t.match(large, /^HTTP\/1\.1 200 OK\r\n.*\r\n\r\nokHTTP\/1\.1 4/s);
  await eventually(() => relay.seats.open.size === 0);
});

t.test('an answer under way is not cut by what its client sends behind the request', async (t) => {
  const upstream = await rawUpstream(t, (socket) => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello');
    setTimeout(() => socket.write('world'), 300);
  });
  const relay = await startRelay(t, { upstreamPort: upstream.port });
  const client = connect(relay.port, '127.0.0.1');
  let answer = '';
  const ended = new Promise<void>((resolve) => client.on('close', () => resolve()));
  client.on('data', (chunk) => {
    if (answer === '') client.write('garbage\r\n\r\n');
    answer += chunk.toString('latin1');
  });
  client.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await ended;
  t.match(answer, /\r\n\r\nhelloworldHTTP\/1\.1 400 /);
});

t.test('a connection on which nothing was sent is closed without a word', async (t) => {
  const upstream = await rawUpstream(t, (socket) => void socket.write(ok));
  const relay = await startRelay(t, { upstreamPort: upstream.port, headersTimeoutMs: 500 });
  t.equal(await sendRaw(relay.port, '', 30_000), '');
  t.same(relay.refused, []);
});
