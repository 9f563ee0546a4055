import { once } from 'node:events';
import { createServer } from 'node:net';
import t from 'tap';
import { SharedSockets } from '../../../src/daemon/workers/shared-sockets.js';
import { systemClock } from '../../../src/machine/system-clock.js';
import { VirtualClock } from '../../fixtures/clock.js';
import { eventually } from '../../fixtures/eventually.js';
import { freePort } from '../../fixtures/redis.js';

/** A program that listens on a port of the loopback. */
async function occupy(port: number) {
  const server = createServer().listen(port, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

t.test('a shared socket is bound to its address, and can be listened on by others', async (t) => {
  const sockets = new SharedSockets();
  t.teardown(() => sockets.close());
  const port = await freePort();
  await sockets.open([{ host: 'localhost', port }, { port: 0 }], systemClock);
  t.same([...sockets.all.keys()], [`localhost:${port}`, ':0']);
  const server = createServer((socket) => socket.end('hello')).listen(sockets.all.get(`localhost:${port}`));
  await once(server, 'listening');
  t.match(server.address(), { port });
  server.close();
});

t.test('an address that is in use is waited for a moment, then refused with its name', async (t) => {
  const sockets = new SharedSockets();
  t.teardown(() => sockets.close());
  const port = await freePort();
  const first = await occupy(port);
  const clock = new VirtualClock();
  let isRefused = false;
  const opening = sockets.open(
    [
      { host: '127.0.0.1', port: 0 },
      { host: '127.0.0.1', port },
    ],
    clock,
  );
  void t.rejects(opening, { code: 'EADDRINUSE', address: '127.0.0.1', port }).then(() => (isRefused = true));
  await eventually(() => clock.advance(100).then(() => isRefused));
  t.equal(sockets.all.size, 0, 'nothing stays open');
  const others = new SharedSockets();
  t.teardown(() => others.close());
  const opened = others.open([{ host: '127.0.0.1', port }], systemClock);
  first.close();
  await opened;
  t.equal(others.all.size, 1);
});

t.test('what was closed meanwhile opens nothing', async (t) => {
  const sockets = new SharedSockets();
  const opening = sockets.open([{ host: '127.0.0.1', port: 0 }], systemClock);
  sockets.close();
  await t.rejects(opening, { message: 'the daemon ends' });
  t.equal(sockets.all.size, 0);
});

t.test('what cannot be bound at all is refused at once', async (t) => {
  const sockets = new SharedSockets();
  // A documentation address, which no machine has.
  await t.rejects(sockets.open([{ host: '192.0.2.1', port: 0 }], systemClock), { code: 'EADDRNOTAVAIL' });
});
