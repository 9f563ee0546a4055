import { once } from 'node:events';
import { connect } from 'node:net';
import t, { type Test } from 'tap';
import { install, startDaemon, until } from '../fixtures/daemon.js';
import { ask, instances } from '../fixtures/request.js';
import { TestWebSocket } from '../fixtures/websocket.js';

const hello = 'hello.localhost';

/** A daemon whose app has just fallen asleep behind the silent WebSocket of a page that is still open. */
async function asleep(t: Test, app: Record<string, unknown>) {
  const running = await startDaemon(t, await install(t, {}, { hello: { idleTtl: '1s', ...app } }));
  const client = await TestWebSocket.open(running.port, hello);
  t.match(await client.next(), { opcode: 8 });
  client.socket.destroy();
  await until(async () => (await instances(running.admin, 'hello')).length === 0);
  return running;
}

/** The first bytes of the answer to an upgrade. */
async function upgrade(t: Test, port: number, localAddress = '127.0.0.1'): Promise<string> {
  const socket = connect({ port, host: '127.0.0.1', localAddress });
  t.teardown(() => socket.destroy());
  socket.write(
    `GET / HTTP/1.1\r\nHost: ${hello}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n`,
  );
  const [bytes] = (await once(socket, 'data')) as [Buffer];
  return bytes.toString('latin1');
}

t.test('the reconnect of a page whose silent WebSocket was ended does not wake its app for a while', async (t) => {
  const { port, admin, log } = await asleep(t, { websocket: { quiet: '10m' } });
  for (let round = 0; round < 3; round += 1) {
    t.match(
      await upgrade(t, port),
      /^HTTP\/1\.1 503 .*x-fastcontainer-error: app_asleep\r\nRetry-After: (600|5\d\d)\r\n/s,
    );
  }
  t.same(await instances(admin, 'hello'), []);
  t.equal(log.filter(({ msg }) => msg === 'booting').length, 1);
  // Somebody uses the page.
  t.equal((await ask(port, hello)).status, 200);
  t.match(await upgrade(t, port), /^HTTP\/1\.1 101 /);
});

t.test('another client wakes it by a WebSocket', async (t) => {
  const { port } = await asleep(t, { websocket: { quiet: '10m' } });
  t.match(await upgrade(t, port, '127.0.0.2'), /^HTTP\/1\.1 101 /);
});

t.test('the quiet time ends, and without one every reconnect wakes', async (t) => {
  const { port } = await asleep(t, { websocket: { quiet: '2s' } });
  await until(async () => (await upgrade(t, port)).startsWith('HTTP/1.1 101 '));
  const other = await asleep(t, {});
  t.match(await upgrade(t, other.port), /^HTTP\/1\.1 101 /);
});
