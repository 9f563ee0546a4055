import { connect, type Socket } from 'node:net';
import { once } from 'node:events';
import t, { type Test } from 'tap';
import { eventually } from '../fixtures/eventually.js';
import { rawUpstream } from '../fixtures/raw.js';
import { startRelay } from '../fixtures/relay.js';

const chunk = Buffer.alloc(32 * 1024, 'x');

/** An answer without a length, of which a client that does not read holds back so much that the app is held back too. */
async function heldBack(t: Test, head: string) {
  let app: Socket | undefined;
  const upstream = await rawUpstream(t, (socket) => {
    app = socket;
    socket.write(head);
  });
  const relay = await startRelay(t, { upstreamPort: upstream.port });
  const client = connect(relay.port, '127.0.0.1');
  t.teardown(() => client.destroy());
  client.on('error', () => {});
  client.pause();
  client.write('GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  await once(client, 'connect');
  await eventually(() => app);
  let sent = 0;
  const own = (await eventually(() => ownSocket(client))) as Socket;
  while (!own.writableNeedDrain) {
    app?.write(chunk);
    sent += chunk.length;
    await new Promise((resolve) => setImmediate(resolve));
  }
  return { app: app as unknown as Socket, relay, client, sent };
}

/** The relay's side of a client's connection: it runs in this process. */
function ownSocket(client: Socket): Socket | undefined {
  const handles = (process as unknown as { _getActiveHandles(): unknown[] })._getActiveHandles();
  return handles.find((handle) => (handle as Socket).remotePort === client.localPort) as Socket | undefined;
}

async function readToEnd(client: Socket): Promise<{ bytes: number; text: string }> {
  let bytes = 0;
  let text = '';
  client.on('data', (data: Buffer) => {
    bytes += data.length;
    text = (text + data.toString('latin1')).slice(-10);
  });
  const closed = once(client, 'close');
  client.resume();
  await closed;
  return { bytes, text };
}

const withoutLength = 'HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n';

t.test('an app that ends while a slow client holds its answer back does not end the daemon', async (t) => {
  for (const head of [withoutLength, 'HTTP/1.0 200 OK\r\n\r\n']) {
    const { app, relay, client, sent } = await heldBack(t, head);
    app.end();
    const { bytes, text } = await readToEnd(client);
    t.ok(bytes > sent, `${bytes} bytes came of ${sent} and their framing`);
    t.equal(text.slice(-5), '0\r\n\r\n', 'the end is told');
    t.match(relay.finished, [{ status: 200, outcome: 'complete' }]);
    t.equal(relay.seats.open.size, 0);
  }
});

t.test('an app that ends too early while its answer is held back is no good end', async (t) => {
  const { app, relay, client } = await heldBack(
    t,
    'HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\nConnection: close\r\n\r\n',
  );
  app.end();
  await readToEnd(client);
  t.match(relay.finished, [{ status: 200, outcome: 'upstream_gone' }]);
  t.equal(relay.seats.open.size, 0);
});

t.test(
  'an app that is reset while its answer is held back does not end the daemon, and half is not passed off as whole',
  async (t) => {
    const { app, relay, client } = await heldBack(t, withoutLength);
    app.resetAndDestroy();
    const { text } = await readToEnd(client);
    t.not(text.slice(-5), '0\r\n\r\n', 'the answer is cut');
    await eventually(() => relay.finished.length === 1);
    t.match(relay.finished, [{ status: 200, outcome: 'upstream_gone' }]);
    t.equal(relay.seats.open.size, 0);
  },
);

t.test("a slow client that goes while its answer is held back takes the app's side with it", async (t) => {
  const { app, relay, client } = await heldBack(t, withoutLength);
  client.resetAndDestroy();
  await eventually(() => app.destroyed);
  t.match(relay.finished, [{ status: 200, outcome: 'client_gone' }]);
});
