import { once } from 'node:events';
import { connect } from 'node:tls';
import t from 'tap';
import { eventually } from '../fixtures/eventually.js';
import { ok, rawUpstream } from '../fixtures/raw.js';
import { startRelay } from '../fixtures/relay.js';
import { shake } from '../fixtures/secure.js';

process.env['TEST_OVER_TLS'] = '1';

const get = (path = '/', version = '1.1') => `GET ${path} HTTP/${version}\r\nHost: shop.example\r\n\r\n`;

t.test('the app learns that a request came over TLS, in headers that agree', async (t) => {
  const upstream = await rawUpstream(t, (socket) => socket.write(ok));
  const { securePort } = await startRelay(t, { upstreamPort: upstream.port });
  const socket = await shake(securePort, 'shop.localhost');
  socket.write(get().replace('\r\n\r\n', '\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Port: 80\r\n\r\n'));
  await once(socket, 'data');
  socket.write('GET / HTTP/1.1\r\nHost: shop.example:8443\r\n\r\n');
  await once(socket, 'data');
  socket.destroy();
  const all = upstream.received.join('');
  t.match(all, /\r\nX-Forwarded-For: 127\.0\.0\.1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: shop\.example\r\n/);
  t.match(all, /\r\nForwarded: for=127\.0\.0\.1;host="shop\.example";proto=https\r\n/);
  t.match(all, /\r\nX-Forwarded-Port: 443\r\n/);
  t.match(all, /\r\nX-Forwarded-Port: 8443\r\n/);
  t.notMatch(all, /proto: http\r\n|proto=http\r\n|port: 80\r\n/i);
});

t.test('a client that gets its last answer and never closes is closed', async (t) => {
  const upstream = await rawUpstream(t, (socket) => socket.write(ok));
  const { securePort, seats } = await startRelay(t, { upstreamPort: upstream.port });
  const terms = { servername: 'shop.localhost', rejectUnauthorized: false, allowHalfOpen: true };
  for (const offer of ['Connection: close', 'Connection: Upgrade\r\nUpgrade: websocket']) {
    const socket = connect({ port: securePort, host: '127.0.0.1', ...terms });
    t.teardown(() => socket.destroy());
    await once(socket, 'secureConnect');
    socket.write(get().replace('\r\n\r\n', `\r\n${offer}\r\n\r\n`));
    t.match(String((await once(socket, 'data'))[0]), /^HTTP\/1\.1 200 /);
    await eventually(() => seats.open.size === 0 && !remotePorts().includes(socket.localPort));
    t.notOk(socket.closed, 'though it holds on to it');
  }
});

t.test('what a trusted proxy tells of its clients wins over the connection with the proxy', async (t) => {
  const upstream = await rawUpstream(t, (socket) => socket.write(ok));
  const { securePort } = await startRelay(t, { upstreamPort: upstream.port, trustedProxies: ['127.0.0.1'] });
  const socket = await shake(securePort, 'shop.localhost');
  socket.write(get().replace('\r\n\r\n', '\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Port: 80\r\n\r\n'));
  await once(socket, 'data');
  socket.destroy();
  t.match(upstream.received[0], /\r\nX-Forwarded-Proto: http\r\n/);
  t.match(upstream.received[0], /\r\nX-Forwarded-Port: 80\r\n/);
  t.notMatch(upstream.received[0], /Port: 443/);
});

t.test(
  'a reader that stops when the app has given all of its answer is closed, one that reads slowly is not',
  async (t) => {
    const body = Buffer.alloc(16_000_000);
    const upstream = await rawUpstream(t, (socket) =>
      socket.write(Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`), body])),
    );
    const { securePort, seats } = await startRelay(t, { upstreamPort: upstream.port, responseStallTimeoutMs: 1_000 });
    const stopped = await shake(securePort, 'shop.localhost');
    const slow = await shake(securePort, 'shop.localhost');
    stopped.pause();
    for (const socket of [stopped, slow]) socket.write(get());
    let read = 0;
    slow.on('data', (chunk: Buffer) => {
      read += chunk.length;
      slow.pause();
      setTimeout(() => slow.resume(), 2);
    });
    await eventually(() => seats.taken === 2 && read > body.length);
    await eventually(() => seats.open.size === 0);
    stopped.resume();
    await once(stopped, 'close');
    t.ok(stopped.bytesRead < body.length, 'it was cut');
    slow.destroy();
  },
);

t.test('an answer that breaks off is no whole one, also for HTTP/1.0', async (t) => {
  const upstream = await rawUpstream(t, (socket) => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf');
    setTimeout(() => socket.destroy(), 50);
  });
  const { securePort, seats, finished, failed } = await startRelay(t, { upstreamPort: upstream.port });
  for (const version of ['1.0', '1.1', '1.0']) {
    const socket = await shake(securePort, 'shop.localhost');
    let isEnded = false;
    socket.on('end', () => (isEnded = true));
    socket.resume();
    socket.write(get('/', version));
    await new Promise((resolve) => socket.once('close', resolve));
    if (version === '1.0') t.equal(isEnded, false, 'reset');
  }
  t.equal(seats.open.size, 0);
  t.same(failed, []);
  t.same(
    finished,
    Array.from({ length: 3 }, () => ({ status: 200, outcome: 'upstream_gone' })),
    'each is told once',
  );
});

t.test('a client that ends its side with an alert of its own still gets its answer', async (t) => {
  const upstream = await rawUpstream(t, (socket) => void setTimeout(() => socket.write(ok), 300));
  const { securePort } = await startRelay(t, { upstreamPort: upstream.port });
  const socket = await shake(securePort, 'shop.localhost', { allowHalfOpen: true });
  let answer = '';
  socket.on('data', (chunk: Buffer) => (answer += chunk.toString()));
  socket.end(get());
  await eventually(() => answer.endsWith('ok'));
  socket.destroy();
});

t.test('a client that goes while the app answers gives its place back', async (t) => {
  const upstream = await rawUpstream(t, () => {});
  const { securePort, seats } = await startRelay(t, { upstreamPort: upstream.port });
  const socket = await shake(securePort, 'shop.localhost');
  socket.write(get());
  await eventually(() => seats.open.size === 1);
  socket.destroy();
  await eventually(() => seats.open.size === 0);
});

/** Of the connections that this process, and so the relay, holds open. */
function remotePorts(): unknown[] {
  const open = (process as unknown as { _getActiveHandles(): { remotePort?: number }[] })._getActiveHandles();
  return open.map(({ remotePort }) => remotePort);
}
