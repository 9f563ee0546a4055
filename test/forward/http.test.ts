import { Agent, createServer, request, type RequestListener } from 'node:http';
import { connect, type Socket } from 'node:net';
import { once } from 'node:events';
import t, { type Test } from 'tap';
import { eventually } from '../fixtures/eventually.js';
import { listen, ok, rawUpstream, sendRaw } from '../fixtures/raw.js';
import { startRelay, type Relay, type RelayOptions } from '../fixtures/relay.js';
import { ask } from '../fixtures/request.js';

async function relayTo(t: Test, app: RequestListener, options: Partial<RelayOptions> = {}) {
  const sockets = new Set<Socket>();
  const server = createServer(app);
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  const upstreamPort = await listen(t, server, sockets);
  return { relay: await startRelay(t, { upstreamPort, ...options }), sockets };
}

/** Every seat was given back, and nothing is under way. */
async function isQuiet({ seats }: Relay): Promise<void> {
  await eventually(() => seats.open.size === 0 && seats.taken === seats.released);
}

t.test('an event stream passes at once, header and first event', async (t) => {
  const { relay } = await relayTo(t, (_req, res) => {
    res.writeHead(200, { 'content-type': 'text/event-stream' });
    res.flushHeaders();
  });
  const req = request({ port: relay.port, host: '127.0.0.1', headers: { host: 'a' } });
  req.end();
  const [res] = await once(req, 'response');
  t.equal(res.headers['content-type'], 'text/event-stream');
  req.destroy();
  await isQuiet(relay);
});

t.test('HEAD, 204 and 304 have no body, whatever the app says of its length', async (t) => {
  const { relay } = await relayTo(t, (req, res) => {
    if (req.url === '/204') return res.writeHead(204).end();
    if (req.url === '/304') return res.writeHead(304, { etag: '"x"', 'content-length': '99' }).end();
    return res.writeHead(200, { 'content-length': '1000' }).end();
  });
  const head = await ask(relay.port, 'a', '/', { method: 'HEAD' });
  t.match(head, { status: 200, headers: { 'content-length': '1000' }, body: '' });
  t.match(await ask(relay.port, 'a', '/204'), { status: 204, body: '' });
  t.match(await ask(relay.port, 'a', '/304'), { status: 304, headers: { etag: '"x"' }, body: '' });
  await isQuiet(relay);
});

t.test('a body of either framing arrives whole, and its end is seen', async (t) => {
  const { relay } = await relayTo(t, (req, res) => void req.pipe(res));
  const body = Buffer.alloc(300_000, 'x');
  const agent = new Agent({ keepAlive: true });
  t.teardown(() => agent.destroy());
  for (const headers of [{ 'content-length': String(body.length) }, { 'transfer-encoding': 'chunked' }]) {
    const answer = await ask(relay.port, 'a', '/', { method: 'POST', headers, body, agent });
    t.equal(answer.body.length, body.length, JSON.stringify(headers));
  }
  await isQuiet(relay);
});

t.test('trailers of the app reach the client', async (t) => {
  const { relay } = await relayTo(t, (_req, res) => {
    res.writeHead(200, { trailer: 'X-Sum' });
    res.write('body');
    res.addTrailers({ 'X-Sum': '42' });
    res.end();
  });
  const answer = await sendRaw(relay.port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n', 100);
  t.match(answer, /\r\nTrailer: X-Sum\r\n/i);
  t.match(answer, /\r\n0\r\nX-Sum: 42\r\n\r\n$/);
});

t.test('103 Early Hints come before the answer', async (t) => {
  const { relay } = await relayTo(t, (_req, res) => {
    res.writeEarlyHints({ link: '</style.css>; rel=preload' });
    res.end('done');
  });
  const answer = await sendRaw(relay.port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n', 100);
  t.match(answer, /^HTTP\/1\.1 103 Early Hints\r\nLink: <\/style\.css>; rel=preload\r\n.*HTTP\/1\.1 200 OK/s);
});

t.test('100 Continue is said only when there is a seat', async (t) => {
  let boot = () => {};
  const booted = new Promise<void>((resolve) => (boot = resolve));
  const { relay } = await relayTo(t, (req, res) => void req.pipe(res), { beforeSeat: () => booted });
  const socket = connect(relay.port, '127.0.0.1');
  t.teardown(() => socket.destroy());
  let answer = '';
  socket.on('data', (chunk) => (answer += chunk.toString()));
  socket.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n');
  await eventually(() => socket.bytesWritten > 0);
  t.equal(answer, '');
  boot();
  await eventually(() => answer.startsWith('HTTP/1.1 100 Continue\r\n\r\n'));
  socket.write('hi');
  await eventually(() => /200 OK.*hi/s.test(answer));
});

t.test('an HTTP/1.0 client gets the body without chunks and the end of the connection', async (t) => {
  const { relay } = await relayTo(t, (_req, res) => {
    res.write('one');
    res.end('two');
  });
  const answer = await sendRaw(relay.port, 'GET / HTTP/1.0\r\nHost: a\r\n\r\n', 2_000);
  t.match(answer, /\r\n\r\nonetwo$/);
  t.notMatch(answer, /transfer-encoding/i);
});

t.test('a client that goes takes its request with it, at every stage', async (t) => {
  const stages: [string, string, RequestListener][] = [
    ['before the answer', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n', () => {}],
    ['in the answer', 'GET / HTTP/1.1\r\nHost: a\r\n\r\n', (_req, res) => void res.write('x')],
    ['in its body', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf', (req) => void req.resume()],
    [
      'in a chunk',
      'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe',
      (req) => void req.resume(),
    ],
  ];
  for (const [name, bytes, app] of stages) {
    await t.test(name, async (t) => {
      let asked = 0;
      const { relay, sockets } = await relayTo(t, (req, res) => {
        asked += 1;
        app(req, res);
      });
      const clients = Array.from({ length: 20 }, () => connect(relay.port, '127.0.0.1'));
      for (const client of clients) client.write(bytes);
      await eventually(() => asked === 20);
      for (const client of clients) client.destroy();
      await isQuiet(relay);
      await eventually(() => sockets.size === 0);
      t.same(new Set(relay.finished.map(({ outcome }) => outcome)), new Set(['client_gone']));
      t.same(relay.failed, []);
    });
  }
});

t.test('a slow reader slows the app down: nothing is buffered', async (t) => {
  let written = 0;
  const chunk = Buffer.alloc(64 * 1024);
  const { relay } = await relayTo(t, (_req, res) => {
    const write = () => {
      while (written < 200 * 1024 * 1024 && res.write(chunk)) written += chunk.length;
      res.once('drain', write);
    };
    write();
  });
  const socket = connect(relay.port, '127.0.0.1');
  socket.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await once(socket, 'data');
  socket.pause();
  let before = -1;
  await eventually(() => {
    const stands = before === written;
    before = written;
    return stands;
  });
  t.ok(written < 32 * 1024 * 1024, `${written} bytes were taken from the app`);
  socket.destroy();
  await isQuiet(relay);
});

t.test('an app that reads slowly slows the client down', async (t) => {
  const { relay } = await relayTo(t, () => {});
  const socket = connect(relay.port, '127.0.0.1');
  socket.write('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n');
  const chunk = Buffer.concat([Buffer.from('10000\r\n'), Buffer.alloc(65_536), Buffer.from('\r\n')]);
  let sent = 0;
  while (socket.write(chunk)) sent += chunk.length;
  const drained = once(socket, 'drain').then(() => true);
  let waits = false;
  for (let round = 0; round < 2_000 && !waits; round += 1) {
    waits = !(await Promise.race([drained, new Promise<boolean>((resolve) => setTimeout(resolve, 200, false))]));
    if (!waits) while (socket.write(chunk)) sent += chunk.length;
    if (sent > 64 * 1024 * 1024) break;
  }
  t.ok(sent < 64 * 1024 * 1024, `${sent} bytes were taken from the client`);
  socket.destroy();
  await isQuiet(relay);
});

t.test('a body beyond the limit is refused, by its length at once and by its bytes when it is chunked', async (t) => {
  const { relay } = await relayTo(t, (req, res) => void req.resume().on('end', () => res.end('ok')), {
    app: { maxRequestBodyBytes: 10 },
  });
  const announced = await sendRaw(relay.port, 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n', 100);
  t.match(announced, /^HTTP\/1\.1 413 .*x-fastcontainer-error: payload_too_large.*\r\nConnection: close/is);
  const chunked = await sendRaw(
    relay.port,
    'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nb\r\nhello world\r\n',
    100,
  );
  t.match(chunked, /^HTTP\/1\.1 413 .*payload_too_large/is);
  await isQuiet(relay);
});

t.test('a client that stalls in the middle of its body is given up', async (t) => {
  const { relay, sockets } = await relayTo(t, (req) => void req.resume(), { requestBodyIdleTimeoutMs: 200 });
  const answer = await sendRaw(relay.port, 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf', 3_000);
  t.match(answer, /^HTTP\/1\.1 408 .*request_timeout/is);
  await isQuiet(relay);
  await eventually(() => sockets.size === 0);
});

t.test('a silent answer is no stalled body', async (t) => {
  const { relay } = await relayTo(
    t,
    (req, res) => void req.resume().on('end', () => setTimeout(() => res.end('late'), 600)),
    { requestBodyIdleTimeoutMs: 200 },
  );
  t.match(await ask(relay.port, 'a', '/', { method: 'POST', body: 'x' }), { status: 200, body: 'late' });
});

t.test('an answer before the body was sent reaches the client', async (t) => {
  const { relay } = await relayTo(t, (_req, res) => void res.writeHead(401).end('no'));
  const answer = await sendRaw(relay.port, 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\nhalf', 500);
  t.match(answer, /^HTTP\/1\.1 401 .*\r\nConnection: close\r\n.*\r\nno\r\n/is);
  await isQuiet(relay);
});

t.test('what goes wrong with the app has its code, and says what may be sent again', async (t) => {
  const cases: [string, (socket: Socket) => void, string, string, boolean][] = [
    ['it closes before it answers', (socket) => socket.destroy(), 'GET', 'upstream_reset', true],
    ['it closes before it answers a POST', (socket) => socket.destroy(), 'POST', 'upstream_reset', false],
    ['it answers garbage', (socket) => socket.write('garbage\r\n\r\n'), 'GET', 'upstream_reset', true],
    ['it answers without end', (socket) => endless(socket), 'GET', 'upstream_reset', true],
    [
      'it answers with a bad header',
      (socket) => socket.write('HTTP/1.1 200 OK\r\nX: a\x01b\r\nContent-Length: 0\r\n\r\n'),
      'GET',
      'upstream_reset',
      true,
    ],
    ['it never answers', () => {}, 'GET', 'upstream_timeout', false],
  ];
  for (const [name, behave, method, code, replayable] of cases) {
    await t.test(name, async (t) => {
      const upstream = await rawUpstream(t, behave);
      const relay = await startRelay(t, { upstreamPort: upstream.port, app: { requestTimeoutMs: 1_000 } });
      const answer = await ask(relay.port, 'a', '/', { method });
      t.equal(answer.headers['x-fastcontainer-error'], code);
      t.same(relay.failed, [{ code, replayable }]);
      await isQuiet(relay);
    });
  }
});

function endless(socket: Socket): void {
  socket.write('HTTP/1.1 200 OK\r\n');
  const timer = setInterval(() => socket.write(`X-Pad: ${'y'.repeat(8_000)}\r\n`), 1);
  socket.on('close', () => clearInterval(timer));
}

t.test('a port that nobody listens on is unreachable, and all may be sent again', async (t) => {
  const port = await listen(t, createServer());
  const closed = await startRelay(t, { upstreamPort: 1 });
  const body = 'a body';
  const answer = await ask(closed.port, 'a', '/', { method: 'POST', body });
  t.match(answer, { status: 502, headers: { 'x-fastcontainer-error': 'upstream_unreachable' } });
  t.same(closed.failed, [{ code: 'upstream_unreachable', replayable: true }]);
  t.ok(port > 0);
});

t.test('half an answer is never passed off as a whole one', async (t) => {
  const answers = [
    'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n',
  ];
  for (const bytes of answers) {
    const upstream = await rawUpstream(t, (socket) => socket.end(bytes));
    const relay = await startRelay(t, { upstreamPort: upstream.port });
    await t.rejects(ask(relay.port, 'a'), JSON.stringify(bytes));
    t.match(relay.finished, [{ status: 200, outcome: 'upstream_gone' }]);
    await isQuiet(relay);
  }
});

t.test('connections are kept for the next request, but none that was idle for over a second', async (t) => {
  const upstream = await rawUpstream(t, (socket) => socket.write(ok));
  const { port } = await startRelay(t, { upstreamPort: upstream.port });
  await ask(port, 'a');
  await ask(port, 'a');
  t.equal(upstream.received.length, 1, 'the second request went on the same connection');
  await eventually(() => upstream.sockets.size === 0);
  await ask(port, 'a');
  t.equal(upstream.received.length, 2);
});

t.test('connections of an instance end with it', async (t) => {
  const upstream = await rawUpstream(t, (socket) => socket.write(ok));
  const { port, forwarder } = await startRelay(t, { upstreamPort: upstream.port });
  await ask(port, 'a');
  t.equal(upstream.sockets.size, 1);
  forwarder.endInstance('shop-1');
  await eventually(() => upstream.sockets.size === 0);
});

t.test('a cut breaks off what is under way and gives the seat back once', async (t) => {
  const { relay } = await relayTo(t, (req, res) => {
    if (req.url === '/begun') res.write('x');
  });
  const begun = t.rejects(ask(relay.port, 'a', '/begun'));
  const silent = ask(relay.port, 'a', '/silent');
  await eventually(() => relay.seats.open.size === 2);
  await eventually(() => [...relay.seats.open].every(({ occupant }) => occupant !== undefined));
  await new Promise((resolve) => setTimeout(resolve, 50));
  for (const seat of relay.seats.open) seat.occupant?.cut('drain_timeout');
  await begun;
  t.match(await silent, { status: 502, headers: { 'x-fastcontainer-error': 'upstream_reset' } });
  await isQuiet(relay);
});

t.test('ten thousand requests on few connections leave nothing behind', async (t) => {
  const { relay } = await relayTo(t, (_req, res) => void res.end('ok'));
  const warnings: Error[] = [];
  const onWarning = (warning: Error) => void warnings.push(warning);
  process.on('warning', onWarning);
  const agent = new Agent({ keepAlive: true, maxSockets: 20 });
  for (let round = 0; round < 20; round += 1) {
    const answers = await Promise.all(Array.from({ length: 500 }, () => ask(relay.port, 'a', '/', { agent })));
    if (answers.some(({ body }) => body !== 'ok')) t.fail('a wrong answer');
  }
  agent.destroy();
  process.off('warning', onWarning);
  t.same(warnings, []);
  t.equal(relay.finished.length, 10_000);
  await isQuiet(relay);
});
