import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { buildConnector } from 'undici';
import { provenConnector } from '../../src/forward/proven-connector.js';

/** Connects to a listening program whose socket has these names, one each time it is asked for. */
async function setUp(t: Test, names: readonly (string | undefined)[]) {
  const accepted: Socket[] = [];
  const server = createServer((socket) => void accepted.push(socket.on('error', () => {}).resume()));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  t.teardown(() => server.close());
  const left = [...names];
  const connect = provenConnector(buildConnector({ timeout: 5_000 }), async () => left.shift());
  const target = { host: '127.0.0.1', hostname: '127.0.0.1', protocol: 'http:' };
  const { port } = server.address() as AddressInfo;
  const connected = () =>
    new Promise<Socket>((resolve, reject) => {
      connect({ ...target, port: String(port) }, (...[error, socket]) => (socket ? resolve(socket) : reject(error)));
    });
  return { connected, accepted, left };
}

t.test('a connection counts if the same socket was open before it and after', async (t) => {
  const { connected, accepted, left } = await setUp(t, ['a', 'a']);
  const socket = await connected();
  socket.destroy();
  t.same(left, []);
  t.ok(accepted.length <= 1);
});

t.test('a connection that was made while the socket changed is given up for another', async (t) => {
  const { connected, accepted } = await setUp(t, ['a', 'b', 'b']);
  const socket = await connected();
  socket.write('x');
  while (accepted.length < 2) await new Promise((resolve) => setImmediate(resolve));
  const [first, second] = accepted as [Socket, Socket];
  if (!first.destroyed) await once(first, 'close');
  t.equal(first.bytesRead, 0, 'nothing was sent on it');
  while (second.bytesRead === 0) await new Promise((resolve) => setImmediate(resolve));
  socket.destroy();
});

t.test('nothing is connected to while the instance does not listen', async (t) => {
  const { connected, accepted } = await setUp(t, [undefined]);
  await t.rejects(connected(), { code: 'ECONNREFUSED' });
  t.equal(accepted.length, 0);
});

t.test('a socket that is another each time is not tried for ever', async (t) => {
  const { connected, left } = await setUp(t, ['a', 'b', 'c', 'd', 'e', 'f']);
  await t.rejects(connected(), { code: 'ECONNREFUSED' });
  t.same(left, ['e', 'f']);
});
