import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
} from 'node:http2';
import { text } from 'node:stream/consumers';
import t, { type Test } from 'tap';
import { eventually } from '../fixtures/eventually.js';
import { frame, FrameClient, words } from '../fixtures/http2-frames.js';
import { type RelayOptions, startRelay } from '../fixtures/relay.js';
import { shake } from '../fixtures/secure.js';

type Handler = (req: IncomingMessage, res: ServerResponse) => void;

async function start(t: Test, handler: Handler, options: Partial<RelayOptions> = {}) {
  const app = createServer({ keepAliveTimeout: 60_000 }, handler).listen(0, '127.0.0.1');
  await once(app, 'listening');
  const relay = await startRelay(t, {
    upstreamPort: (app.address() as { port: number }).port,
    http2: true,
    ...options,
  });
  const session = connect(`https://shop.localhost:${relay.port}`, {
    ...{ rejectUnauthorized: false, servername: 'shop.localhost' },
    lookup: (_host, _options, done) => done(null, [{ address: '127.0.0.1', family: 4 }] as never, 4),
  });
  session.on('error', () => {});
  t.teardown(() => {
    session.destroy();
    app.closeAllConnections();
    app.close();
  });
  return { relay, session, app };
}

interface Got {
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
  readonly trailers: IncomingHttpHeaders | undefined;
}

async function ask(session: ClientHttp2Session, headers: Record<string, string> = {}, body?: string): Promise<Got> {
  const stream = session.request({ ':path': '/', ...headers }, { endStream: body === undefined });
  if (body !== undefined) stream.end(body);
  return got(stream);
}

async function got(stream: ClientHttp2Stream): Promise<Got> {
  let trailers: IncomingHttpHeaders | undefined;
  stream.on('trailers', (each) => (trailers = each));
  const [headers] = (await once(stream, 'response')) as [IncomingHttpHeaders];
  return { headers, body: await text(stream), trailers };
}

t.test('requests and answers pass with their bodies, over one connection', async (t) => {
  const { session, relay } = await start(t, async (req, res) => {
    const body = await text(req);
    res.setHeader('X-Two', ['a', 'b']);
    res.setHeader('Set-Cookie', ['c=1', 'd=2']);
    res.end(`${req.method} ${req.url} ${req.headers.host} ${String(req.headers['x-forwarded-proto'])} ${body}`);
  });
  const answers = await Promise.all([
    ask(session, { ':path': '/a' }),
    ask(session, { ':path': '/b', ':method': 'POST', 'content-length': '5' }, 'hello'),
    ask(session, { ':path': '/c', ':method': 'PUT' }, 'hello'),
  ]);
  const host = `shop.localhost:${relay.port}`;
  t.same(
    answers.map(({ body }) => body),
    [`GET /a ${host} https `, `POST /b ${host} https hello`, `PUT /c ${host} https hello`],
  );
  const { headers } = answers[0];
  t.match(headers, { ':status': 200, 'x-two': 'a, b', 'set-cookie': ['c=1', 'd=2'] });
  t.notOk(Object.keys(headers).some((name) => ['connection', 'keep-alive', 'transfer-encoding'].includes(name)));
  t.same(
    relay.finished.map(({ outcome }) => outcome),
    ['complete', 'complete', 'complete'],
  );
});

t.test('answers without a body have none, whatever the app says', async (t) => {
  const { session } = await start(t, (req, res) => {
    res.writeHead(Number(req.url?.slice(1)) || 200, { 'Content-Length': '5', ETag: '"e"' });
    res.end('hello');
  });
  t.match(await ask(session, { ':method': 'HEAD' }), { headers: { ':status': 200, 'content-length': '5' }, body: '' });
  t.match(await ask(session, { ':path': '/204' }), { headers: { ':status': 204 }, body: '' });
  t.match(await ask(session, { ':path': '/205' }), { headers: { ':status': 205 }, body: '' });
  t.match(await ask(session, { ':path': '/304' }), { headers: { ':status': 304, etag: '"e"' }, body: '' });
  t.match(await ask(session), { headers: { ':status': 200 }, body: 'hello' });
});

t.test('trailers and early hints of an app pass', async (t) => {
  const { session } = await start(t, (_req, res) => {
    res.writeEarlyHints({ link: '</a.css>; rel=preload' });
    res.writeHead(200, { Trailer: 'X-Sum' });
    res.write('hello');
    res.addTrailers({ 'X-Sum': '5' });
    res.end();
  });
  const stream = session.request({ ':path': '/' });
  const hints: IncomingHttpHeaders[] = [];
  stream.on('headers', (headers) => hints.push(headers));
  t.match(await got(stream), { body: 'hello', headers: { trailer: 'X-Sum' }, trailers: { 'x-sum': '5' } });
  t.match(hints, [{ ':status': 103, link: '</a.css>; rel=preload' }]);
});

t.test('a client that waits for 100 Continue gets it', async (t) => {
  const { session } = await start(t, async (req, res) => res.end(await text(req)));
  const stream = session.request({ ':path': '/', ':method': 'POST', expect: '100-continue' }, { endStream: false });
  stream.once('continue', () => stream.end('late'));
  t.match(await got(stream), { body: 'late' });
});

t.test('a request that is taken back is cancelled at the app, before and in its answer', async (t) => {
  let gone = 0;
  const { session, relay } = await start(t, (req, res) => {
    res.once('close', () => (gone += 1));
    if (req.url === '/answering') res.write('begun');
  });
  const waiting = session.request({ ':path': '/waiting' });
  const answering = session.request({ ':path': '/answering' });
  await once(answering, 'response');
  waiting.close(constants.NGHTTP2_CANCEL);
  answering.close(constants.NGHTTP2_CANCEL);
  await eventually(() => gone === 2 && relay.seats.open.size === 0);
  // A client may say that nothing is wrong, in the middle of its body.
  const uploading = session.request({ ':path': '/waiting', ':method': 'POST' });
  uploading.write('begun');
  await eventually(() => relay.seats.open.size === 1);
  uploading.close(constants.NGHTTP2_NO_ERROR);
  await eventually(() => gone === 3 && relay.seats.open.size === 0);
  const lost = session.request({ ':path': '/answering' });
  lost.on('error', () => {});
  await once(lost, 'response');
  session.destroy();
  await eventually(() => gone === 4 && relay.seats.open.size === 0);
  t.same(new Set(relay.finished.map(({ outcome }) => outcome)), new Set(['client_gone']));
});

t.test('an answer that the app breaks off is reset, and the connection serves on', async (t) => {
  const { session } = await start(t, (req, res) => {
    if (req.url === '/') return res.end('whole');
    res.write('half');
    setImmediate(() => res.destroy());
  });
  const stream = session.request({ ':path': '/cut' });
  const failed = once(stream, 'error');
  stream.resume();
  t.match(await failed, [{ code: 'ERR_HTTP2_STREAM_ERROR' }]);
  t.equal(stream.rstCode, constants.NGHTTP2_INTERNAL_ERROR);
  t.equal((await ask(session)).body, 'whole');
});

t.test('an answer that cannot be sent over HTTP/2 costs its client no connection', async (t) => {
  const { session, relay } = await start(t, (req, res) => {
    if (req.url === '/999') res.statusCode = 999;
    if (req.url === '/lines') for (let line = 0; line < 4_000; line += 1) res.setHeader(`x${line}`, 'y');
    res.end('whole');
  });
  t.match(await ask(session, { ':path': '/999' }), { headers: { ':status': 502 } });
  t.match(relay.failed, [{ code: 'upstream_reset' }]);
  // This client takes no more than 128.
  const lines = session.request({ ':path': '/lines' });
  const failed = once(lines, 'error');
  lines.resume();
  t.match(await failed, [{ code: 'ERR_HTTP2_STREAM_ERROR' }]);
  t.equal((await ask(session)).body, 'whole');
});

t.test('a client that still sends when it is answered gets the answer, and is told to stop', async (t) => {
  const { session, relay } = await start(t, (_req, res) => res.writeHead(413).end('too much'), {
    app: { maxRequestBodyBytes: 1_000_000 },
  });
  for (const path of ['/app', '/ours']) {
    const length = path === '/ours' ? { 'content-length': '2000000' } : {};
    const stream = session.request({ ':path': path, ':method': 'POST', ...length }, { endStream: false });
    stream.write(Buffer.alloc(20_000));
    const { headers } = await got(stream);
    t.equal(headers[':status'], 413, path);
    await eventually(() => stream.closed);
    t.equal(stream.rstCode, constants.NGHTTP2_NO_ERROR, path);
  }
  await eventually(() => relay.seats.open.size === 0);
  t.equal(session.closed, false);
});

t.test('an upload that is answered before it is read leaves nothing behind', async (t) => {
  const held: ServerResponse[] = [];
  const { session } = await start(t, (req, res) => void (req.pause(), held.push(res)), { keepAliveTimeoutMs: 300 });
  const upload = session.request({ ':path': '/', ':method': 'POST' });
  upload.on('error', () => {});
  let taken = 0;
  const send = () =>
    void upload.write(Buffer.alloc(64 * 1024), (error) => {
      if (error) return;
      taken += 1;
      send();
    });
  send();
  // Until nothing on its way takes more of it.
  let [before, still] = [0, 0];
  await eventually(() => {
    still = held.length > 0 && taken === before ? still + 1 : 0;
    before = taken;
    return still === 10;
  });
  let isTold = false;
  session.once('goaway', () => (isTold = true));
  held[0]?.writeHead(413).end('too much');
  t.match(await got(upload), { headers: { ':status': 413 }, body: 'too much' });
  // Only a connection without a request is ended so.
  await eventually(() => isTold);
});

t.test('a client that reads slowly holds the app back, and another stream goes on', async (t) => {
  let written = 0;
  const { session } = await start(t, (req, res) => {
    if (req.url === '/') return res.end('quick');
    const more = () => {
      while (written < 64 * 1024 * 1024 && res.write(Buffer.alloc(64 * 1024))) written += 64 * 1024;
    };
    res.on('drain', more);
    more();
  });
  const slow = session.request({ ':path': '/slow' });
  slow.on('error', () => {});
  await once(slow, 'response');
  t.equal((await ask(session)).body, 'quick');
  t.ok(written < 16 * 1024 * 1024, `${written} bytes`);
  slow.close(constants.NGHTTP2_CANCEL);
});

t.test('an app that reads nothing holds the client back', async (t) => {
  const { session, relay } = await start(t, (req, res) => {
    if (req.url === '/') return res.end('quick');
    req.pause();
  });
  const upload = session.request({ ':path': '/slow', ':method': 'POST' });
  upload.on('error', () => {});
  let taken = 0;
  const send = () =>
    upload.write(Buffer.alloc(64 * 1024), () => ((taken += 64 * 1024), taken < 64 * 1024 * 1024 && send()));
  send();
  await eventually(() => relay.seats.open.size === 1);
  for (let index = 0; index < 20; index += 1) t.equal((await ask(session)).body, 'quick');
  t.ok(taken < 32 * 1024 * 1024, `${taken} bytes`);
  upload.close(constants.NGHTTP2_CANCEL);
  await eventually(() => relay.seats.open.size === 0);
});

t.test('a client that takes nothing of its answer is given up after http.responseStallTimeout', async (t) => {
  const { session, relay } = await start(
    t,
    (req, res) => res.end(Buffer.alloc(req.url === '/small' ? 100_000 : 10_000_000)),
    {
      responseStallTimeoutMs: 200,
    },
  );
  for (const path of ['/small', '/large']) {
    const stream = session.request({ ':path': path });
    stream.on('error', () => {});
    stream.pause();
    await eventually(() => stream.closed);
    t.equal(stream.rstCode, constants.NGHTTP2_CANCEL);
  }
  await eventually(() => relay.seats.open.size === 0);
});

t.test('when the daemon drains, a client is told, and what is under way is finished', async (t) => {
  let finish = () => {};
  const { session, relay } = await start(t, (_req, res) => {
    res.write('begun,');
    finish = () => void res.end('finished');
  });
  const stream = session.request({ ':path': '/' });
  await once(stream, 'response');
  const goaways: number[] = [];
  session.on('goaway', (code) => goaways.push(code));
  const closed = relay.listener.close();
  await eventually(() => goaways.length > 0);
  finish();
  t.equal(await text(stream), 'begun,finished');
  await closed;
  t.same(new Set(goaways), new Set([constants.NGHTTP2_NO_ERROR]));
});

t.test('a client that says goodbye and keeps its connection does not hold up the end of the daemon', async (t) => {
  const { relay } = await start(t, (_req, res) => res.end('hello'));
  const options = { ALPNProtocols: ['h2'], allowHalfOpen: true };
  const client = new FrameClient(await shake(relay.port, 'shop.localhost', options));
  t.teardown(() => client.socket.destroy());
  client.socket.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
  client.send(frame.settings, 0, 0);
  client.send(frame.goaway, 0, 0, words(0, 0));
  await eventually(() => client.isClosed);
  let isClosed = false;
  void relay.listener.close().then(() => (isClosed = true));
  await eventually(() => isClosed);
});

t.test('a connection on which nothing is asked is ended, also if it pings', async (t) => {
  const { session } = await start(t, (_req, res) => res.end('hello'), { keepAliveTimeoutMs: 300 });
  const goaway = once(session, 'goaway');
  const pings = setInterval(() => session.destroyed || session.ping(() => {}), 50);
  t.equal((await ask(session)).body, 'hello');
  t.same((await goaway)[0], constants.NGHTTP2_NO_ERROR);
  await eventually(() => session.destroyed);
  clearInterval(pings);
});

t.test('room is made by ending an idle connection, not one with a request', async (t) => {
  const held: ServerResponse[] = [];
  const { session, relay } = await start(t, (_req, res) => void held.push(res), {
    maxConnections: 4,
    maxConnectionsPerClient: 2,
  });
  const waiting = session.request({ ':path': '/' });
  await eventually(() => held.length === 1);
  const other = () =>
    connect(`https://127.0.0.1:${relay.port}`, { rejectUnauthorized: false, servername: 'shop.localhost' }).on(
      'error',
      () => {},
    );
  const idle = other();
  await once(idle, 'remoteSettings');
  const next = other();
  await eventually(() => idle.destroyed);
  t.equal(session.destroyed, false);
  held[0]?.end('served');
  t.equal((await got(waiting)).body, 'served');
  next.destroy();
});
