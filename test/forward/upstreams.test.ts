import { once } from 'node:events';
import { createServer } from 'node:http';
import { type AddressInfo, Socket } from 'node:net';
import t, { type Test } from 'tap';
import type { Seat } from '../../src/uses/seat.js';
import { type Upstream, type UpstreamPool, Upstreams } from '../../src/forward/upstreams.js';
import { eventually } from '../fixtures/eventually.js';

const location = { runtime: 'process', host: 'here' } as const;

/** An app that notes on which connection each request came. */
async function startApp(t: Test) {
  const sockets: Socket[] = [];
  const asked: number[] = [];
  const server = createServer((req, res) => {
    asked.push(sockets.indexOf(req.socket));
    if (req.url === '/close') res.setHeader('Connection', 'close');
    if (req.url === '/long') res.setHeader('Keep-Alive', 'timeout=600');
    if (req.url === '/brief') res.setHeader('Keep-Alive', 'timeout=2');
    if (req.url === '/reset') req.socket.resetAndDestroy();
    else res.end('ok');
  });
  server.keepAliveTimeout = 0;
  server.on('connection', (socket: Socket) => sockets.push(socket));
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const upstreams = new Upstreams('here', () => undefined, 100);
  t.teardown(async () => {
    await upstreams.close();
    await new Promise((resolve) => server.close(resolve));
  });
  const { port } = server.address() as AddressInfo;
  const seat = { instanceId: 'app-1', address: { host: '127.0.0.1', port }, location } as Seat;
  return { upstreams, pool: upstreams.of(seat), asked, sockets, port };
}

/** For a client of its own, at an app with room for many. */
function take(pool: UpstreamPool, client = new Socket()): Upstream {
  return pool.take(client, 100, false);
}

function ask({ client }: Upstream, path = '/'): Promise<string> {
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
  const [first, second] = [take(pool), take(pool)];
  await ask(first);
  await ask(second);
  pool.give(first);
  pool.give(second);
  const next = take(pool);
  t.equal(next, second);
  await ask(next);
  t.same(asked, [0, 1, 1]);
});

t.test('connections of requests at the same time are different ones', async (t) => {
  const { pool, sockets } = await startApp(t);
  const clients = Array.from({ length: 20 }, () => take(pool));
  await Promise.all(clients.map((client) => ask(client)));
  t.equal(sockets.length, 20);
});

for (const path of ['/close', '/reset']) {
  t.test(`a connection that the app ended (${path}) is not used again`, async (t) => {
    const { pool, asked } = await startApp(t);
    const client = take(pool);
    const gone = once(client.client, 'disconnect');
    await ask(client, path);
    pool.give(client);
    await gone;
    const next = take(pool);
    t.not(next, client);
    t.equal(await ask(next), 'answered');
    t.same(asked, [0, 1]);
  });
}

t.test('a connection that cannot be made leaves nothing behind', async (t) => {
  const upstreams = new Upstreams('here', () => undefined, 100);
  t.teardown(() => upstreams.close());
  const pool = upstreams.of({ instanceId: 'app-1', address: { host: '127.0.0.1', port: 1 }, location } as Seat);
  const client = take(pool);
  const failed = once(client.client, 'connectionError');
  t.equal(await ask(client), 'failed');
  pool.give(client);
  await failed;
  t.not(take(pool), client);
});

t.test('an idle connection is closed before the app does by its own word, else after a few seconds', async (t) => {
  const { pool, sockets } = await startApp(t);
  const [usual, brief] = [take(pool), take(pool)];
  await ask(usual);
  await ask(brief, '/brief');
  pool.give(usual);
  pool.give(brief);
  const closed: string[] = [];
  const ends = ['usual', 'brief'].map((name, index) => once(sockets[index]!, 'close').then(() => closed.push(name)));
  await Promise.all(ends);
  t.same(closed, ['brief', 'usual']);
});

t.test('an idle connection to another host is kept for a second, whatever the app says', async (t) => {
  const { upstreams, sockets, port } = await startApp(t);
  const there = { runtime: 'process', host: 'there' } as const;
  const address = { host: '127.0.0.1', port };
  const seats = [
    { instanceId: 'app-2', address, location },
    { instanceId: 'app-3', address, location: there },
  ] as Seat[];
  const closed: number[] = [];
  for (const [index, seat] of seats.entries()) {
    const pool = upstreams.of(seat);
    const upstream = take(pool);
    await ask(upstream, '/long');
    pool.give(upstream);
    sockets[index]?.once('close', () => closed.push(index));
  }
  await eventually(() => closed.length > 0);
  t.same(closed, [1]);
});

t.test('what must not be repeated goes on no connection that was idle for over a second', async (t) => {
  const { pool } = await startApp(t);
  const client = new Socket();
  const first = take(pool);
  await ask(first);
  pool.give(first);
  const [fresh, repeatable] = [true, false];
  t.equal(pool.take(client, 100, fresh), first);
  pool.give(first);
  first.idleSince -= 1_100;
  const second = pool.take(client, 100, fresh);
  t.not(second, first);
  t.equal(pool.take(client, 100, repeatable), first);
  await ask(second);
  second.owner = client;
  pool.give(second);
  second.idleSince -= 1_100;
  t.not(pool.take(client, 100, fresh), second, 'nor on its own');
});

t.test('what belongs to a client goes with it', async (t) => {
  const { pool, sockets } = await startApp(t);
  const owner = new Socket();
  const upstream = take(pool, owner);
  await ask(upstream);
  upstream.owner = owner;
  pool.give(upstream);
  owner.destroy();
  await eventually(() => sockets[0]?.closed);
});

t.test('a client that asks many apps on one connection is listened to once', async (t) => {
  const { upstreams, sockets, port } = await startApp(t);
  const owner = new Socket();
  const address = { host: '127.0.0.1', port };
  for (let index = 0; index < 20; index += 1) {
    const pool = upstreams.of({ instanceId: `many-${index}`, address, location } as Seat);
    const upstream = take(pool, owner);
    await ask(upstream);
    upstream.owner = owner;
    pool.give(upstream);
  }
  t.equal(owner.listenerCount('close'), 1);
  owner.destroy();
  await eventually(() => sockets.length === 20 && sockets.every(({ closed }) => closed));
});

t.test('an instance that ended takes its connections with it, also those that are given back later', async (t) => {
  const { upstreams, pool, sockets } = await startApp(t);
  const [busy, idle] = [take(pool), take(pool)];
  await Promise.all([ask(busy), ask(idle)]);
  pool.give(idle);
  const closed = Promise.all(sockets.filter((socket) => !socket.destroyed).map((socket) => once(socket, 'close')));
  upstreams.end('app-1');
  pool.give(busy);
  await closed;
  t.not(take(pool), busy);
});

t.test('a connection that belongs to a client is given to that client only, and one at a time', async (t) => {
  const { pool, asked } = await startApp(t);
  const [owner, other] = [new Socket(), new Socket()];
  const [first, second] = [take(pool, owner), take(pool, owner)];
  await ask(first);
  await ask(second);
  first.owner = second.owner = owner;
  pool.give(first);
  pool.give(second);
  const strangers = take(pool, other);
  t.not(strangers, first);
  t.not(strangers, second, 'the second was closed');
  await ask(strangers);
  t.equal(take(pool, owner), first);
  await ask(first);
  pool.give(first);
  owner.destroy();
  await ask(take(pool, owner));
  t.same(asked, [0, 1, 2, 0, 0]);
});

t.test('an idle connection that belongs to a client gives way where the app has room for no more', async (t) => {
  const { pool, sockets } = await startApp(t);
  const [owner, other] = [new Socket(), new Socket()];
  const first = pool.take(owner, 1, false);
  await ask(first);
  first.owner = owner;
  pool.give(first);
  const next = pool.take(other, 1, false);
  t.not(next, first);
  await once(sockets[0] as Socket, 'close');
  t.equal(await ask(next), 'answered');
});

t.test('idle connections to other apps make room for one more, the longest idle of all first', async (t) => {
  const apps = await Promise.all([startApp(t), startApp(t)]);
  const upstreams = new Upstreams('here', () => undefined, 3);
  t.teardown(() => upstreams.close());
  const pools = apps.map(({ sockets }, index) => {
    const { port } = apps[index]!;
    const seat = { instanceId: `app-${index}`, address: { host: '127.0.0.1', port }, location } as Seat;
    return { pool: upstreams.of(seat), sockets };
  });
  const [one, two] = [pools[0]!, pools[1]!];
  const taken = [take(one.pool), take(one.pool), take(two.pool)];
  await Promise.all(taken.map((upstream) => ask(upstream)));
  two.pool.give(taken[2]!);
  one.pool.give(taken[0]!);
  const more = take(one.pool);
  t.equal(more, taken[0]);
  one.pool.give(taken[1]!);
  const beyondAll = [take(two.pool), take(two.pool)];
  t.equal(beyondAll[0], taken[2]);
  t.equal(await ask(beyondAll[1]!), 'answered');
  await eventually(() => one.sockets[1]?.closed);
  t.notOk(one.sockets[0]?.closed);
  // All are in use: requests are not refused for it.
  const [beyond, again] = [take(one.pool), take(two.pool)];
  t.same(await Promise.all([ask(beyond), ask(again)]), ['answered', 'answered']);
});
