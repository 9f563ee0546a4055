import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t, { type Test } from 'tap';
import { eventually } from '../fixtures/eventually.js';
import { rawUpstream } from '../fixtures/raw.js';
import { startRelay } from '../fixtures/relay.js';
import { ask } from '../fixtures/request.js';

// Only a context that is made after the flag has it.
setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Writes for as long as it is let. */
function endlessly(socket: Socket, bytes: string, everyMs = 0): void {
  let open = true;
  socket.on('close', () => (open = false));
  const write = (): void => {
    if (!open) return;
    if (everyMs > 0) void socket.write(bytes, () => setTimeout(write, everyMs));
    else if (socket.write(bytes)) setImmediate(write);
    else socket.once('drain', write);
  };
  write();
}

const hint = 'HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n';

t.test('an app that sends interim answers without end is given up', async (t) => {
  for (const interim of ['HTTP/1.1 102 Processing\r\n\r\n', 'HTTP/1.1 100 Continue\r\n\r\n', hint]) {
    const upstream = await rawUpstream(t, (socket) => endlessly(socket, interim.repeat(50)));
    const { port, seats } = await startRelay(t, { upstreamPort: upstream.port });
    t.match(await ask(port, 'a'), { status: 502, headers: { 'x-fastcontainer-error': 'upstream_reset' } });
    await eventually(() => seats.open.size === 0 && upstream.sockets.size === 0);
  }
});

t.test('interim answers do not prolong the time to the first byte', async (t) => {
  const upstream = await rawUpstream(t, (socket) => endlessly(socket, 'HTTP/1.1 102 Processing\r\n\r\n', 50));
  const { port, seats } = await startRelay(t, { upstreamPort: upstream.port, app: { requestTimeoutMs: 1_000 } });
  t.match(await ask(port, 'a'), { status: 504, headers: { 'x-fastcontainer-error': 'upstream_timeout' } });
  await eventually(() => seats.open.size === 0 && upstream.sockets.size === 0);
});

t.test('of many hints a client gets the first, whether it reads or not', async (t) => {
  const ok = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok';
  const upstream = await rawUpstream(t, (socket) => void socket.write(hint.repeat(500) + ok));
  const { port } = await startRelay(t, { upstreamPort: upstream.port });
  const client = connect(port, '127.0.0.1');
  t.teardown(() => client.destroy());
  let answer = '';
  client.on('data', (data) => (answer += data.toString()));
  client.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await eventually(() => answer.endsWith('ok'));
  t.equal(answer.split('103 Early Hints').length - 1, 16);
});

t.test("a header that drips in does not hold a request beyond the app's requestTimeout", async (t) => {
  const upstream = await rawUpstream(t, (socket) => {
    socket.write('HTTP/1.1 200 OK\r\n');
    endlessly(socket, 'X: y\r\n', 100);
  });
  const { port, seats } = await startRelay(t, { upstreamPort: upstream.port, app: { requestTimeoutMs: 1_000 } });
  t.match(await ask(port, 'a'), { status: 504, headers: { 'x-fastcontainer-error': 'upstream_timeout' } });
  await eventually(() => seats.open.size === 0 && upstream.sockets.size === 0);
});

t.test('a body that drips in passes, byte by byte, also beyond requestTimeout', async (t) => {
  const upstream = await rawUpstream(t, (socket) => {
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n');
    for (let at = 0; at < 20; at += 1) setTimeout(() => socket.write('.'), at * 100);
  });
  const { port } = await startRelay(t, { upstreamPort: upstream.port, app: { requestTimeoutMs: 1_000 } });
  t.match(await ask(port, 'a'), { status: 200, body: '.'.repeat(20) });
});

t.test('bodies, chunk extensions and trailers without end cost no memory, and end with the client', async (t) => {
  const head = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';
  const kinds: Record<string, [begin: string, rest: string]> = {
    'a body': [head, `4000\r\n${'x'.repeat(0x4000)}\r\n`],
    'a chunk extension': [`${head}1;`, 'x'.repeat(16_384)],
    'a chunk size': [head, '0'.repeat(16_384)],
    'empty chunk extensions': [head, '1;x\r\ny\r\n'.repeat(1_000)],
    'a trailer': [`${head}1\r\nx\r\n0\r\nX: `, 'y'.repeat(16_384)],
    'a body without a length': ['HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n', 'x'.repeat(16_384)],
  };
  for (const [name, [begin, rest]] of Object.entries(kinds)) {
    await t.test(name, (t) => holdsNothing(t, begin, rest));
  }
});

/** Lets it run for a while with a client that never reads; what the relay holds of it stays small. */
async function holdsNothing(t: Test, begin: string, rest: string): Promise<void> {
  const upstream = await rawUpstream(t, (socket) => {
    socket.write(begin);
    endlessly(socket, rest);
  });
  const { port, seats } = await startRelay(t, { upstreamPort: upstream.port });
  const client = connect(port, '127.0.0.1');
  client.on('error', () => {});
  client.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await once(client, 'connect');
  client.pause();
  await eventually(() => upstream.received.length === 1);
  const before = bytesHeld();
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  const grown = bytesHeld() - before;
  t.ok(grown < 2 * 1024 ** 2, `${Math.round(grown / 1024)} KiB more`);
  client.destroy();
  await eventually(() => seats.open.size === 0 && upstream.sockets.size === 0);
}

/** What is in use, without what only waits to be collected: a fast app leaves much of that in a second. */
function bytesHeld(): number {
  // What the first finds is freed beside the program; the second waits for it.
  collectGarbage();
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
