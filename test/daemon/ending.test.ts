import t from 'tap';
import { loadConfig } from '../../src/config/load-config.js';
import { install, isAlive, startDaemon, until } from '../fixtures/daemon.js';
import { ask, askIdentity, instances } from '../fixtures/request.js';
import { TestWebSocket } from '../fixtures/websocket.js';

t.test('an idle app is gone after its TTL, and the next request boots a fresh one', async (t) => {
  const { port, admin } = await startDaemon(t, await install(t, {}, { hello: { idleTtl: '500ms' } }));
  const first = await askIdentity(port, 'hello.localhost');
  await until(() => !isAlive(first.pid));
  await until(async () => (await instances(admin, 'hello')).length === 0);
  const second = await askIdentity(port, 'hello.localhost');
  t.not(second.instance, first.instance);
});

t.test('an open request, however silent, keeps its instance alive', async (t) => {
  const { port } = await startDaemon(t, await install(t, {}, { hello: { idleTtl: '300ms' } }));
  const { pid } = await askIdentity(port, 'hello.localhost');
  const slow = await ask(port, 'hello.localhost', '/slow?ms=4000');
  t.match(slow, { status: 200, body: 'slow' });
  t.ok(isAlive(pid), 'the same process answered');
});

t.test(
  'an instance at the end of its lifetime finishes what it has, and the next request gets a fresh one',
  async (t) => {
    const { port } = await startDaemon(t, await install(t, {}, { hello: { maxLifetime: '2s' } }));
    const first = await askIdentity(port, 'hello.localhost');
    const slow = ask(port, 'hello.localhost', '/slow?ms=5000');
    const second = await until(async () => {
      const identity = await askIdentity(port, 'hello.localhost');
      return identity.pid === first.pid ? undefined : identity;
    });
    t.not(second.instance, first.instance);
    t.ok(isAlive(first.pid), 'the old one still carries its request');
    t.match(await slow, { status: 200, body: 'slow' });
    await until(() => !isAlive(first.pid));
  },
);

t.test('a WebSocket on which data flows keeps its instance alive', async (t) => {
  const { port } = await startDaemon(t, await install(t, {}, { hello: { idleTtl: '3s' } }));
  const { pid } = await askIdentity(port, 'hello.localhost');
  const socket = await TestWebSocket.open(port, 'hello.localhost');
  t.teardown(() => socket.close());
  const end = Date.now() + 8_000;
  for (let round = 0; Date.now() < end; round += 1) {
    socket.send(`round ${round}`);
    t.equal((await socket.next())?.payload.toString(), `round ${round}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  t.ok(isAlive(pid));
});

t.test('a WebSocket that is silent for the idle TTL is closed with 1001 when its instance ends', async (t) => {
  const { port } = await startDaemon(t, await install(t, {}, { hello: { idleTtl: '800ms' } }));
  const { pid } = await askIdentity(port, 'hello.localhost');
  const socket = await TestWebSocket.open(port, 'hello.localhost');
  t.teardown(() => socket.close());
  t.equal(await socket.closeCode(), 1001);
  await until(() => !isAlive(pid));
});

t.test('past drainTimeout a busy WebSocket is closed with 1001 and an open stream is broken off', async (t) => {
  const { port } = await startDaemon(t, await install(t, {}, { hello: { maxLifetime: '2s', drainTimeout: '500ms' } }));
  const { pid } = await askIdentity(port, 'hello.localhost');
  const socket = await TestWebSocket.open(port, 'hello.localhost');
  t.teardown(() => socket.close());
  const stream = t.rejects(ask(port, 'hello.localhost', '/events'), 'a cut stream is no clean end');
  const chatter = setInterval(() => socket.send('still here'), 50);
  t.equal(await socket.closeCode(), 1001);
  clearInterval(chatter);
  await stream;
  await until(() => !isAlive(pid));
});

t.test('an app whose file is deleted drains its instances, and its domain is unknown', async (t) => {
  const installation = await install(t, {}, { hello: {}, other: {} });
  const { daemon, port } = await startDaemon(t, installation);
  const { pid } = await askIdentity(port, 'hello.localhost');
  await installation.writeApp('hello', undefined);
  await daemon.reload(await loadConfig(installation.file, process.env));
  await until(async () => (await ask(port, 'hello.localhost')).status === 404);
  await until(() => !isAlive(pid));
  t.equal((await ask(port, 'other.localhost')).status, 200);
});

t.test('a shorter TTL takes effect on a running instance at once', async (t) => {
  const installation = await install(t, {}, { hello: { idleTtl: '10m' } });
  const { daemon, port } = await startDaemon(t, installation);
  const { pid } = await askIdentity(port, 'hello.localhost');
  await installation.writeApp('hello', { idleTtl: '500ms' });
  await daemon.reload(await loadConfig(installation.file, process.env));
  await until(() => !isAlive(pid));
});

t.test('--stop-apps ends an instance whose use is just being released', async (t) => {
  for (const pauseMs of [0, 20, 45, 50, 55, 60]) {
    const { daemon, port } = await startDaemon(t, await install(t, {}, { hello: { idleTtl: '100ms' } }));
    const { pid } = await askIdentity(port, 'hello.localhost');
    await new Promise((resolve) => setTimeout(resolve, pauseMs));
    await daemon.close();
    t.notOk(isAlive(pid), `closed after ${pauseMs} ms`);
  }
});
