import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import t, { type Test } from 'tap';
import type { Client } from 'undici';
import type { Seat } from '../../src/check/seat.js';
import { Upstreams } from '../../src/forward/upstreams.js';

/** An app that notes on which connection each request came. */
async function startApp(t: Test) {
  const sockets: Socket[] = [];
  const asked: number[] = [];
  const server = createServer((req, res) => {
    asked.push(sockets.indexOf(req.socket));
    if (req.url === '/close') res.setHeader('Connection', 'close');
    if (req.url === '/reset') req.socket.resetAndDestroy();
    else res.end('ok');
  });
  server.on('connection', (socket: Socket) => sockets.push(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const upstreams = new Upstreams(() => undefined);
  t.teardown(async () => {
    await upstreams.close();
    await new Promise((resolve) => server.close(resolve));
  });
  const { port } = server.address() as AddressInfo;
  const seat = { instanceId: 'app-1', address: { host: '127.0.0.1', port } } as Seat;
  return { upstreams, pool: upstreams.of(seat), asked, sockets };
}

function ask(client: Client, path = '/'): Promise<string> {
  return new Promise((resolve) =>
    client.dispatch({ path, method: 'GET' }, {
      onConnect() {},
      onHeaders: () => true,
      onData: () => true,
      onComplete: () => resolve('answered'),
      onError: () => resolve('failed'),
    } as never),
  );
}

t.test('the connection that came free last is used next', async (t) => {
  const { pool, asked } = await startApp(t);
  const [first, second] = [pool.take(), pool.take()];
  await ask(first);
  await ask(second);
  pool.give(first);
  pool.give(second);
  const next = pool.take();
  t.equal(next, second);
  await ask(next);
  t.same(asked, [0, 1, 1]);
});

t.test('connections of requests at the same time are different ones', async (t) => {
  const { pool, sockets } = await startApp(t);
  const clients = Array.from({ length: 20 }, () => pool.take());
  await Promise.all(clients.map((client) => ask(client)));
  t.equal(sockets.length, 20);
});

for (const path of ['/close', '/reset']) {
  t.test(`a connection that the app ended (${path}) is not used again`, async (t) => {
    const { pool, asked } = await startApp(t);
    const client = pool.take();
    const gone = once(client, 'disconnect');
    await ask(client, path);
    pool.give(client);
    await gone;
    const next = pool.take();
    t.not(next, client);
    t.equal(await ask(next), 'answered');
    t.same(asked, [0, 1]);
  });
}

t.test('a connection that cannot be made leaves nothing behind', async (t) => {
  const upstreams = new Upstreams(() => undefined);
  t.teardown(() => upstreams.close());
  const pool = upstreams.of({ instanceId: 'app-1', address: { host: '127.0.0.1', port: 1 } } as Seat);
  const client = pool.take();
  const failed = once(client, 'connectionError');
  t.equal(await ask(client), 'failed');
  pool.give(client);
  await failed;
  t.not(pool.take(), client);
});

t.test('an idle connection closes after a second', async (t) => {
  const { pool, sockets } = await startApp(t);
  const client = pool.take();
  await ask(client);
  pool.give(client);
  const [socket] = sockets;
  if (socket && !socket.destroyed) await once(socket, 'close');
  t.ok(socket?.destroyed);
});

t.test('an instance that ended takes its connections with it, also those that are given back later', async (t) => {
  const { upstreams, pool, sockets } = await startApp(t);
  const [busy, idle] = [pool.take(), pool.take()];
  await Promise.all([ask(busy), ask(idle)]);
  pool.give(idle);
  const closed = Promise.all(sockets.filter((socket) => !socket.destroyed).map((socket) => once(socket, 'close')));
  upstreams.end('app-1');
  pool.give(busy);
  await closed;
  t.not(pool.take(), busy);
});
