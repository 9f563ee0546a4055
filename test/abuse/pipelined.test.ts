import { connect } from 'node:net';
import { once } from 'node:events';
import t from 'tap';
import { install, startDaemon, until } from '../fixtures/daemon.js';
import { eventually } from '../fixtures/eventually.js';
import { rawUpstream } from '../fixtures/raw.js';
import { startRelay } from '../fixtures/relay.js';
import { ask, instances } from '../fixtures/request.js';
import { metric } from '../fixtures/vital-signs.js';

const hang = 'GET /hang HTTP/1.1\r\nHost: hello.localhost\r\n\r\n';

t.test('requests behind each other on one connection are all given up when their client goes', async (t) => {
  const bodies: Record<string, string> = {
    'none answered': hang.repeat(5),
    'with half a body': `${hang}POST /upload HTTP/1.1\r\nHost: hello.localhost\r\nContent-Length: 10\r\n\r\nhalf`,
    'with a body that never comes': `${hang}PUT /upload HTTP/1.1\r\nHost: hello.localhost\r\nContent-Length: 10\r\n\r\n`,
    'with a bad chunk': `${hang}POST /upload HTTP/1.1\r\nHost: hello.localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n`,
    'before an upgrade': `${hang.repeat(3)}GET / HTTP/1.1\r\nHost: hello.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
    'before a tunnel': `${hang.repeat(3)}CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n`,
  };
  const { port, admin } = await startDaemon(t, await install(t));
  t.equal((await ask(port, 'hello.localhost')).status, 200);
  for (const [name, bytes] of Object.entries(bodies)) {
    const client = connect(port, '127.0.0.1');
    client.on('error', () => {});
    client.write(bytes);
    await once(client, 'connect');
    await Promise.race([
      until(async () => ((await instances(admin, 'hello'))[0]?.inflight ?? 0) >= 2).catch(() => {}),
      once(client, 'close'),
    ]);
    client.resetAndDestroy();
    await until(async () => (await instances(admin, 'hello'))[0]?.inflight === 0);
    t.pass(name);
  }
});

t.test('requests behind each other that wait for a boot are all given up when their client goes', async (t) => {
  const installation = await install(t, {}, { hello: { env: { BOOT_DELAY_MS: '2000' } } });
  const { port, admin } = await startDaemon(t, installation);
  const client = connect(port, '127.0.0.1');
  client.on('error', () => {});
  client.write(hang.repeat(5));
  await until(async () => (await metric(admin, /^fastcontainer_queue_length\b/)) === 5);
  client.resetAndDestroy();
  await until(async () => (await metric(admin, /^fastcontainer_queue_length\b/)) === 0);
  t.equal((await ask(port, 'hello.localhost')).status, 200);
  t.match(await instances(admin, 'hello'), [{ inflight: 0 }]);
});

t.test('a large answer behind one that is not finished is given up when its client goes', async (t) => {
  const upstream = await rawUpstream(t, (socket, received) => {
    if (received.includes('/large'))
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n${'x'.repeat(500_000)}`);
  });
  const { port, seats } = await startRelay(t, { upstreamPort: upstream.port });
  const client = connect(port, '127.0.0.1');
  client.on('error', () => {});
  client.write('GET /never HTTP/1.1\r\nHost: a\r\n\r\nGET /large HTTP/1.1\r\nHost: a\r\n\r\n');
  await eventually(() => upstream.received.some((bytes) => bytes.includes('/large')));
  client.destroy();
  await eventually(() => seats.open.size === 0 && upstream.sockets.size === 0);
});
