import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { install, type Running, startDaemon, until } from '../fixtures/daemon.js';
import { type HeldRequest, holdMany } from '../fixtures/held-request.js';
import { metric } from '../fixtures/metric.js';
import { ask, instances } from '../fixtures/request.js';

const hello = 'hello.localhost';
const attacker = '127.0.0.2';

const inflight = async ({ admin }: Running) => (await instances(admin, 'hello'))[0]?.inflight ?? 0;
const queued = ({ admin }: Running) => metric(admin, 'fastcontainer_queue_length{app="hello"}');

/** What waits does so until the test has looked, however busy the machine is. */
const patience = '10m';

async function start(t: Test, app: Record<string, unknown>, main: Record<string, unknown> = {}): Promise<Running> {
  const running = await startDaemon(t, await install(t, main, { hello: { queue: { timeout: patience }, ...app } }));
  t.equal((await ask(running.port, hello)).status, 200);
  return running;
}

/** Sends `head` from an address and whatever more the test sends; closed after the test. */
function send(t: Test, port: number, head: string, localAddress = attacker): Socket {
  const socket = connect({ host: '127.0.0.1', port, localAddress });
  socket.on('error', () => {}).write(head);
  t.teardown(() => socket.destroy());
  return socket;
}

const upload = `POST /upload HTTP/1.1\r\nHost: ${hello}\r\nContent-Length: 1000000\r\n\r\n`;
const webSocket =
  `GET /ws HTTP/1.1\r\nHost: ${hello}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n';

function endAfter(t: Test, held: readonly HeldRequest[]): void {
  t.teardown(() => held.forEach((request) => request.end()));
}

t.test('slow uploads of one address do not take both places of an app', async (t) => {
  const running = await start(t, { concurrency: { target: 2, max: 2 } });
  const uploads = Array.from({ length: 4 }, () => send(t, running.port, upload));
  await until(async () => (await inflight(running)) === 1 && (await queued(running)) === 3);
  for (let round = 0; round < 3; round += 1) t.equal((await ask(running.port, hello)).status, 200);
  uploads[0]?.write('x'.repeat(1_000_000));
  const [answer] = (await once(uploads[0] as Socket, 'data')) as [Buffer];
  t.match(answer.toString(), /^HTTP\/1\.1 200 /, 'it was served, too');
  await until(async () => (await inflight(running)) === 1);
});

t.test(
  'event streams of one address leave a quarter of the places to others, and the rest of them waits',
  async (t) => {
    const running = await start(t, {});
    const held = holdMany(100, running.port, hello, attacker);
    endAfter(t, held);
    await until(async () => (await inflight(running)) === 75 && (await queued(running)) === 25);
    for (let round = 0; round < 5; round += 1) t.equal((await ask(running.port, hello)).status, 200);
    held.slice(0, 25).forEach((request) => request.end());
    t.same(
      await Promise.all(held.slice(75).map(({ status }) => status)),
      Array.from({ length: 25 }, () => 200),
    );
    t.equal(await inflight(running), 75);
  },
);

t.test('WebSockets of one address do the same', async (t) => {
  const running = await start(t, { concurrency: { target: 4, max: 8 } });
  const sockets = Array.from({ length: 8 }, () => send(t, running.port, webSocket));
  await Promise.all(sockets.slice(0, 6).map((socket) => once(socket, 'data')));
  await until(async () => (await inflight(running)) === 6 && (await queued(running)) === 2);
  t.equal((await ask(running.port, hello)).status, 200);
});

t.test('several addresses that want all of it leave room as well', async (t) => {
  const running = await start(t, {});
  const held = ['127.0.0.2', '127.0.0.3', '127.0.0.4'].flatMap((from) => holdMany(100, running.port, hello, from));
  endAfter(t, held);
  await until(async () => (await inflight(running)) + (await queued(running)) === 300);
  t.ok((await inflight(running)) < 100);
  t.equal((await ask(running.port, hello)).status, 200);
});

t.test(
  'behind a trusted proxy the client that it names counts, and where it names none nobody is held back',
  async (t) => {
    const app = { concurrency: { target: 4, max: 4 } };
    const running = await start(t, app, { trustedProxies: ['127.0.0.0/8'] });
    const events = (client: string) => `GET /events HTTP/1.1\r\nHost: ${hello}\r\nX-Forwarded-For: ${client}\r\n\r\n`;
    const streams = Array.from({ length: 4 }, () => send(t, running.port, events('203.0.113.9, 192.0.2.1')));
    await until(async () => (await inflight(running)) === 3 && (await queued(running)) === 1);
    for (const client of ['192.0.2.2', '192.0.2.3:4711', '[2001:db8::1]:80']) {
      const headers = { 'X-Forwarded-For': client };
      t.equal((await ask(running.port, hello, '/', { headers })).status, 200, client);
    }
    for (const stream of streams) stream.destroy();
    await until(async () => (await inflight(running)) === 0 && (await queued(running)) === 0);
    const hidden = holdMany(4, running.port, hello);
    endAfter(t, hidden);
    t.same(await Promise.all(hidden.map(({ status }) => status)), [200, 200, 200, 200]);
  },
);

t.test('a queue that one address filled has room for others, who do not wait behind it', async (t) => {
  const queue = { max: 10, timeout: patience };
  const running = await start(t, { concurrency: { target: 1, max: 1 }, queue });
  const [first] = holdMany(1, running.port, hello, '127.0.0.3');
  endAfter(t, [first as HeldRequest]);
  t.equal(await first?.status, 200);
  const flood = holdMany(10, running.port, hello, attacker);
  endAfter(t, flood);
  await until(async () => (await queued(running)) === 10);
  const others = ['127.0.0.4', '127.0.0.5'].map((from) => ask(running.port, hello, '/', { localAddress: from }));
  const outcomes = flood.map(({ status }) => status);
  await until(
    async () => (await metric(running.admin, 'fastcontainer_errors_total{app="hello",error="queue_full"}')) === 2,
  );
  t.same(await Promise.all(outcomes.slice(8)), [503, 503], 'its last two gave way');
  t.equal(await queued(running), 10);
  first?.end();
  t.equal(await outcomes[0], 200, 'its first one came first');
  flood[0]?.end();
  t.same(
    (await Promise.all(others)).map(({ status }) => status),
    [200, 200],
    'then it is the turn of the others',
  );
});

t.test('clientShare: 1 keeps nothing back', async (t) => {
  const running = await start(t, { concurrency: { target: 2, max: 2, clientShare: 1 } });
  const held = holdMany(2, running.port, hello, attacker);
  endAfter(t, held);
  t.same(await Promise.all(held.map(({ status }) => status)), [200, 200]);
});

t.test('an address that has its share of one instance makes the app grow instead of waiting', async (t) => {
  const running = await start(t, { concurrency: { target: 4, max: 4 }, scale: { max: 2 } });
  const held = holdMany(6, running.port, hello, attacker);
  endAfter(t, held);
  t.same(await Promise.all(held.map(({ status }) => status)), [200, 200, 200, 200, 200, 200]);
});
