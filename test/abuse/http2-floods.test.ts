import { once } from 'node:events';
import { createServer } from 'node:http';
import { setImmediate as turn } from 'node:timers/promises';
import t from 'tap';
import { eventually } from '../fixtures/eventually.js';
import {
  endHeaders,
  endStream,
  errorCode,
  type Field,
  fieldBlock,
  frame,
  FrameClient,
  get,
  setting,
  words,
} from '../fixtures/http2-frames.js';
import { startRelay } from '../fixtures/relay.js';

const large = Buffer.alloc(32 * 1024 * 1024);
const app = createServer(
  (req, res) => void (req.url === '/held' || res.end(req.url === '/large' ? large : 'hello')),
).listen(0, '127.0.0.1');
await once(app, 'listening');
const relay = await startRelay(t, {
  ...{ upstreamPort: (app.address() as { port: number }).port, http2: true },
  ...{ maxConnections: 10, headersTimeoutMs: 5_000, responseStallTimeoutMs: 1_000 },
});
t.teardown(() => {
  app.closeAllConnections();
  app.close();
});

const most = 20_000;

/** Sends until the connection is closed; how often that was, or `most`. */
async function flood(client: FrameClient, send: (count: number) => void): Promise<number> {
  for (let count = 0; count < most; count += 1) {
    if (client.isClosed) return count;
    send(count);
    if (count % 50 === 0) await turn();
  }
  await eventually(() => client.isClosed).catch(() => {});
  return client.isClosed ? most - 1 : most;
}

const odd = (count: number) => 2 * count + 1;
const bad: Field[] = get('/', [['connection', 'close']]);

const floods: [name: string, send: (client: FrameClient, count: number) => void][] = [
  [
    'requests that are taken back (CVE-2023-44487)',
    (c, n) => (c.ask(odd(n), get('/held')), c.send(frame.reset, 0, odd(n), words(8))),
  ],
  [
    'requests that are taken back without a fault',
    (c, n) => (c.ask(odd(n), get('/held')), c.send(frame.reset, 0, odd(n), words(0))),
  ],
  ['malformed requests', (c, n) => c.ask(odd(n), bad)],
  [
    'requests that break a rule of their window',
    (c, n) => (c.ask(odd(n), get('/held'), endHeaders), c.send(frame.windowUpdate, 0, odd(n), words(2 ** 31 - 1))),
  ],
  ['more requests than are served at once', (c, n) => c.ask(odd(n), get('/held'))],
  ['settings (CVE-2019-9515)', (c) => c.send(frame.settings, 0, 0, setting(3, 100))],
  ['pings (CVE-2019-9512)', (c) => c.send(frame.ping, 0, 0, Buffer.alloc(8))],
  [
    'data of nothing (CVE-2019-9518)',
    (c, n) => (n === 0 ? c.ask(1, get('/held'), endHeaders) : c.send(frame.data, 0, 1)),
  ],
  [
    'headers without an end (CVE-2024-27316)',
    (c, n) => (n === 0 ? c.ask(1, get(), endStream) : c.send(frame.continuation, 0, 1, fieldBlock([['x', 'y']]))),
  ],
  ['continuations of nothing', (c, n) => (n === 0 ? c.ask(1, get(), endStream) : c.send(frame.continuation, 0, 1))],
];

t.test('floods end their connection, and honest clients are served meanwhile', async (t) => {
  for (const [name, send] of floods) {
    const client = await FrameClient.begin(relay.port);
    const honest = await FrameClient.begin(relay.port);
    const flooding = flood(client, (count) => send(client, count));
    honest.ask(1);
    t.equal((await honest.answer(1)).status, 200, `${name}: another client is served`);
    const count = await flooding;
    t.ok(count < most, `${name}: ended within ${count}`);
    honest.ask(3);
    t.equal((await honest.answer(3)).status, 200);
    client.socket.destroy();
    honest.socket.destroy();
    await eventually(() => relay.seats.open.size === 0);
  }
});

t.test('a client that floods is told to calm down', async (t) => {
  const client = await FrameClient.begin(relay.port);
  for (let count = 0; count < most && client.of(frame.goaway).length === 0; count += 1) {
    client.send(frame.ping, 0, 0, Buffer.alloc(8));
    // So many at once that nghttp2 can acknowledge them: otherwise it ends the connection itself.
    if (count % 5 === 0) await turn();
  }
  await eventually(() => client.isClosed);
  t.equal(client.of(frame.goaway).at(-1)?.payload.readUInt32BE(4), errorCode.calm);
  t.ok(relay.floods.includes('ping'));
});

t.test('a client that takes no acknowledgements is not buffered for without end', async (t) => {
  const client = await FrameClient.begin(relay.port);
  client.socket.pause();
  for (let count = 0; count < most && !client.socket.destroyed; count += 1) {
    client.send(frame.ping, 0, 0, Buffer.alloc(8));
    if (count % 50 === 0) await turn();
  }
  client.socket.resume();
  await eventually(() => client.socket.destroyed);
  t.pass();
});

t.test('a window that is never opened holds nothing for longer than a stalled answer may', async (t) => {
  const client = await FrameClient.begin(relay.port, setting(4, 0));
  for (let stream = 1; stream < 200; stream += 2) client.ask(stream);
  await eventually(() => client.of(frame.reset).length === 100);
  t.same(new Set(client.of(frame.reset).map(({ payload }) => payload.readUInt32BE(0))), new Set([errorCode.cancel]));
  t.equal(relay.seats.open.size, 0);
  client.socket.destroy();
});

t.test('a client that takes nothing of its connection holds no seat for longer, either', async (t) => {
  const client = await FrameClient.begin(relay.port, setting(4, 2 ** 31 - 1));
  client.send(frame.windowUpdate, 0, 0, words(2 ** 30));
  client.socket.pause();
  const { taken } = relay.seats;
  client.ask(1, get('/large'));
  client.ask(3, get('/large'));
  await eventually(() => relay.seats.taken === taken + 2);
  await eventually(() => relay.seats.open.size === 0);
  t.same(
    relay.finished.slice(-2).map(({ outcome }) => outcome),
    ['client_gone', 'client_gone'],
  );
  client.socket.destroy();
});
