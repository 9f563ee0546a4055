import { createServer } from 'node:http';
import { connect, type Socket } from 'node:net';
import t from 'tap';
import { eventually } from '../fixtures/eventually.js';
import { listen, ok, rawUpstream, sendRaw } from '../fixtures/raw.js';
import { startRelay } from '../fixtures/relay.js';
import { TestWebSocket } from '../fixtures/websocket.js';

const switching = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n';
const handshake =
  'GET /chat HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\nX-Forwarded-For: 6.6.6.6\r\n\r\n';
const textFrame = (text: string) => Buffer.concat([Buffer.from([0x81, text.length]), Buffer.from(text)]);

/** An app that switches at once and then does what it is told with each chunk. */
function switcher(onData: (socket: Socket, chunk: string) => void = () => {}, first: Buffer = Buffer.alloc(0)) {
  const seen = new Map<Socket, number>();
  return (socket: Socket, received: string) => {
    const from = seen.get(socket);
    if (from === undefined) {
      const end = received.indexOf('\r\n\r\n');
      if (end < 0) return;
      seen.set(socket, end + 4);
      socket.write(Buffer.concat([Buffer.from(switching), first]));
    }
    const rest = received.slice(seen.get(socket));
    seen.set(socket, received.length);
    if (rest !== '') onData(socket, rest);
  };
}

t.test('data passes both ways, also what comes with the first packet', async (t) => {
  const upstream = await rawUpstream(
    t,
    switcher((socket) => socket.write(textFrame('echo')), textFrame('hello')),
  );
  const { port, seats } = await startRelay(t, { upstreamPort: upstream.port });
  const socket = await TestWebSocket.open(port, 'shop.example');
  t.teardown(() => socket.close());
  t.equal((await socket.next())?.payload.toString(), 'hello');
  socket.send('one');
  t.equal((await socket.next())?.payload.toString(), 'echo');
  t.ok(seats.touched >= 3);
  t.match(upstream.received[0], /^GET \/ws HTTP\/1\.1\r\n/);
  socket.close();
  await eventually(() => seats.open.size === 0 && upstream.sockets.size === 0);
});

t.test('the header rules hold for upgrades too', async (t) => {
  const upstream = await rawUpstream(t, switcher());
  const { port } = await startRelay(t, { upstreamPort: upstream.port });
  await sendRaw(port, handshake, 100);
  const received = upstream.received[0] ?? '';
  t.match(received, /^GET \/chat HTTP\/1\.1\r\nHost: shop\.example\r\n/);
  t.match(received, /\r\nX-Forwarded-For: 127\.0\.0\.1\r\n/);
  t.match(received, /\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n/);
  t.notMatch(received, /6\.6\.6\.6/);
});

t.test('pings are passed on and are no activity', async (t) => {
  const upstream = await rawUpstream(t, switcher());
  const { port, seats } = await startRelay(t, { upstreamPort: upstream.port });
  const socket = await TestWebSocket.open(port, 'a');
  t.teardown(() => socket.close());
  const before = seats.touched;
  socket.socket.write(Buffer.from([0x89, 0x80, 0, 0, 0, 0]));
  await eventually(() => upstream.received[0]?.includes('\x89'));
  t.equal(seats.touched, before);
});

t.test('a cut ends both sides with 1001, between two frames', async (t) => {
  let app: Socket | undefined;
  const upstream = await rawUpstream(
    t,
    switcher((socket) => {
      app = socket;
      // The first half of a frame of eight bytes.
      socket.write(Buffer.from([0x81, 8, 1, 2, 3, 4]));
    }),
  );
  const { port, seats, finished } = await startRelay(t, { upstreamPort: upstream.port });
  const socket = await TestWebSocket.open(port, 'a');
  socket.send('go');
  await eventually(() => app !== undefined && seats.touched > 1);
  for (const seat of seats.open) seat.occupant?.cut('drain_timeout');
  app?.write(Buffer.from([5, 6, 7, 8]));
  t.equal((await socket.next())?.payload.length, 8, 'the frame under way arrives whole');
  t.equal(await socket.closeCode(), 1001);
  await eventually(() => upstream.received[0]?.endsWith('\x88\x82\0\0\0\0\x03\xe9'));
  await eventually(() => seats.open.size === 0 && finished.length === 1);
});

t.test('a cut does not wait for ever for the end of a frame', async (t) => {
  const upstream = await rawUpstream(
    t,
    switcher((socket) => socket.write(Buffer.from([0x81, 8, 1]))),
  );
  const { port, seats } = await startRelay(t, { upstreamPort: upstream.port });
  const socket = await TestWebSocket.open(port, 'a');
  socket.send('go');
  await eventually(() => seats.touched > 1);
  for (const seat of seats.open) seat.occupant?.cut('drain_timeout');
  t.equal(await socket.next(), undefined);
  await eventually(() => seats.open.size === 0 && upstream.sockets.size === 0);
});

t.test('either side that goes takes the other with it', async (t) => {
  const upstream = await rawUpstream(
    t,
    switcher((socket) => socket.destroy()),
  );
  const { port, seats } = await startRelay(t, { upstreamPort: upstream.port });
  const cut = await TestWebSocket.open(port, 'a');
  cut.send('die');
  t.equal(await cut.next(), undefined);
  const left = await TestWebSocket.open(port, 'a');
  left.socket.resetAndDestroy();
  await eventually(() => seats.open.size === 0 && upstream.sockets.size === 0);
  t.equal(seats.taken, seats.released);
});

t.test('an app that does not switch is heard whole, and the connection ends', async (t) => {
  const sockets = new Set<Socket>();
  const server = createServer((_req, res) => {
    res.writeHead(403, { 'x-why': 'no' });
    res.write('not ');
    res.end('here');
  });
  server.on('connection', (socket) => sockets.add(socket));
  const { port, seats, finished } = await startRelay(t, { upstreamPort: await listen(t, server, sockets) });
  const answer = await sendRaw(port, handshake, 2_000);
  t.match(answer, /^HTTP\/1\.1 403 Forbidden\r\n.*x-why: no.*Connection: close\r\n\r\nnot here$/s);
  await eventually(() => seats.open.size === 0 && finished.length === 1);
});

t.test('a client that goes before the app answered leaves nothing', async (t) => {
  const upstream = await rawUpstream(t, () => {});
  const { port, seats, finished } = await startRelay(t, { upstreamPort: upstream.port });
  const client = connect(port, '127.0.0.1');
  client.write(handshake);
  await eventually(() => upstream.received.length === 1);
  client.destroy();
  await eventually(() => seats.open.size === 0 && upstream.sockets.size === 0);
  t.match(finished, [{ outcome: 'client_gone' }]);
});

t.test('an app that is not there, breaks off or never answers has its code', async (t) => {
  const silent = await rawUpstream(t, () => {});
  const broken = await rawUpstream(t, (socket) => socket.destroy());
  for (const [upstreamPort, code, replayable] of [
    [1, 'upstream_unreachable', true],
    [broken.port, 'upstream_reset', true],
    [silent.port, 'upstream_timeout', false],
  ] as const) {
    const { port, failed, seats } = await startRelay(t, { upstreamPort, app: { requestTimeoutMs: 300 } });
    t.match(await sendRaw(port, handshake, 2_000), new RegExp(`^HTTP/1.1 50[24] .*${code}`, 's'));
    t.same(failed, [{ code, replayable }]);
    t.equal(seats.open.size, 0);
  }
});

t.test('another protocol is passed through, and every byte is activity', async (t) => {
  const upstream = await rawUpstream(t, (socket, received) => {
    if (received.endsWith('\r\n\r\n'))
      socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n');
    else socket.write('pong');
  });
  const { port, seats } = await startRelay(t, { upstreamPort: upstream.port });
  const client = connect(port, '127.0.0.1');
  t.teardown(() => client.destroy());
  let got = '';
  client.on('data', (chunk) => (got += chunk.toString()));
  client.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: tcp\r\n\r\n');
  await eventually(() => got.includes('101'));
  t.match(upstream.received[0], /\r\nUpgrade: tcp\r\n/);
  client.write('ping');
  await eventually(() => got.endsWith('pong'));
  t.ok(seats.touched >= 2);
});

t.test('an offer of HTTP/2 is ignored and answered in HTTP/1.1', async (t) => {
  const upstream = await rawUpstream(t, (socket) => socket.write(ok));
  const { port, seats } = await startRelay(t, { upstreamPort: upstream.port });
  const answer = await sendRaw(
    port,
    'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n',
    2_000,
  );
  t.match(answer, /^HTTP\/1\.1 200 OK\r\n.*ok$/s);
  t.notMatch(upstream.received[0], /h2c|http2-settings/i);
  await eventually(() => seats.open.size === 0);
});

t.test('what the app of another protocol sends after the client has ended its side still arrives', async (t) => {
  const upstream = await rawUpstream(
    t,
    (socket, received) => {
      if (!received.endsWith('\r\n\r\n')) return;
      socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n');
      // Longer than a WebSocket has.
      socket.once('end', () => setTimeout(() => socket.end('late'), 2_500));
    },
    { allowHalfOpen: true },
  );
  const { port, seats } = await startRelay(t, { upstreamPort: upstream.port });
  const client = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  let got = '';
  client.on('data', (chunk) => {
    if (got === '') client.end('last');
    got += chunk.toString('latin1');
  });
  client.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: tcp\r\n\r\n');
  await new Promise((resolve) => client.once('end', resolve));
  t.match(got, /\r\n\r\nlate$/);
  t.match(upstream.received[0], /last$/);
  await eventually(() => seats.open.size === 0);
});
