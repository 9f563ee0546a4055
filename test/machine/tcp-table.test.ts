import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { tcpStates } from '../../src/machine/tcp-table.js';
import { eventually } from '../fixtures/eventually.js';

/** A connection whose server side nobody reads from; undefined where the machine has no such address. */
async function connection(
  t: Test,
  listen: string,
  to: string,
): Promise<{ client: Socket; server: Socket } | undefined> {
  const listener: Server = createServer({ pauseOnConnect: true, allowHalfOpen: true });
  listener.listen(0, listen);
  const listening = await Promise.race([
    once(listener, 'listening').then(() => true),
    once(listener, 'error').then(() => false),
  ]);
  if (!listening) return undefined;
  const { port } = listener.address() as AddressInfo;
  const client = connect(port, to);
  const [server] = (await once(listener, 'connection')) as [Socket];
  client.on('error', () => {});
  server.on('error', () => {});
  t.teardown(() => {
    client.destroy();
    server.destroy();
    listener.close();
  });
  return { client, server };
}

for (const [listen, to] of [
  ['127.0.0.1', '127.0.0.1'],
  ['127.3.2.1', '127.3.2.1'],
  ['::', '127.0.0.1'],
  ['::1', '::1'],
] as const) {
  t.test(`the end of a client is in the system's table though nobody reads (${to} at ${listen})`, async (t) => {
    const pair = await connection(t, listen, to);
    if (!pair) {
      t.comment(`skipped: this machine has no ${listen}`);
      return;
    }
    const { client, server } = pair;
    const state = async () => (await tcpStates([server]))?.get(server);
    t.equal(await state(), 'open');
    client.end('unread');
    await eventually(async () => (await state()) === 'ended');
    client.resetAndDestroy();
    await eventually(async () => (await state()) === 'gone');
  });
}

t.test('addresses of every spelling are looked up, and one that has none is gone', async (t) => {
  const nobody = [
    { localAddress: 'fe80::1%lo', localPort: 1, remoteAddress: '2001:db8::ffff:1', remotePort: 65_535 },
    { localAddress: '::ffff:1.2.3.4', localPort: 1, remoteAddress: '::', remotePort: 1 },
    { localAddress: undefined, localPort: 1, remoteAddress: '::1', remotePort: 1 },
  ];
  t.same(
    [...((await tcpStates(nobody)) ?? [])],
    [
      [nobody[0], 'gone'],
      [nobody[1], 'gone'],
      [nobody[2], 'gone'],
    ],
  );
  t.same([...((await tcpStates([])) ?? [])], []);
});
