import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import t from 'tap';
import { install, startDaemon, until } from '../fixtures/daemon.js';
import { eventually } from '../fixtures/eventually.js';
import { ok, rawUpstream, sendRaw } from '../fixtures/raw.js';
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
      until(async () => ((await instances(admin, 'hello'))[0]?.inflight ?? 0) === 1).catch(() => {}),
      once(client, 'close'),
    ]);
    client.resetAndDestroy();
    await until(async () => (await instances(admin, 'hello'))[0]?.inflight === 0);
    t.pass(name);
  }
});

t.test(
  'requests behind each other that wait for a boot take one place, and are given up when their client goes',
  async (t) => {
    const installation = await install(t, {}, { hello: { env: { BOOT_DELAY_MS: '2000' } } });
    const { port, admin } = await startDaemon(t, installation);
    const client = connect(port, '127.0.0.1');
    client.on('error', () => {});
    client.write(hang.repeat(50));
    await until(async () => (await metric(admin, /^fastcontainer_queue_length\b/)) === 1);
    client.resetAndDestroy();
    await until(async () => (await metric(admin, /^fastcontainer_queue_length\b/)) === 0);
    t.equal((await ask(port, 'hello.localhost')).status, 200);
    t.match(await instances(admin, 'hello'), [{ inflight: 0 }]);
  },
);

t.test('one connection has one request at an app at a time, and all of them are answered in their order', async (t) => {
  let open = 0;
  let most = 0;
  const upstream = await rawUpstream(t, (socket, received) => {
    open += 1;
    most = Math.max(most, open);
    const path = /.*GET (\S+)/s.exec(received)?.[1] ?? '';
    setImmediate(() => {
      open -= 1;
      socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${path.length}\r\n\r\n${path}`);
    });
  });
  const { port, seats } = await startRelay(t, { upstreamPort: upstream.port });
  const paths = Array.from({ length: 40 }, (_, index) => `/${index}`);
  const requests = paths.map((path) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`).join('');
  const answer = await sendRaw(port, requests);
  t.same(
    [...answer.matchAll(/\r\n\r\n(\/\d+)/g)].map(([, path]) => path),
    paths,
  );
  t.equal(most, 1);
  await eventually(() => seats.open.size === 0);
});

t.test(
  '1,200 requests sent ahead on one connection leave the places to others, and what is too much is refused',
  async (t) => {
    const upstream = await rawUpstream(t, (socket, received) => {
      if (!received.includes('/slow')) socket.write(ok);
    });
    const relay = await startRelay(t, { upstreamPort: upstream.port });
    const client = connect(relay.port, '127.0.0.1');
    t.teardown(() => client.destroy());
    client.on('error', () => {});
    client.write('GET /slow HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(1_200));
    await eventually(() => relay.seats.open.size === 1);
    for (let round = 0; round < 5; round += 1) t.equal((await ask(relay.port, 'a')).status, 200);
    t.equal(relay.seats.open.size, 1);
    upstream.sockets.forEach((socket) => socket.write(ok));
    client.destroy();
    await eventually(() => relay.seats.open.size === 0);
  },
);

t.test(
  'what is sent ahead beyond the bound gets one answer behind those before it, and the connection ends',
  async (t) => {
    const upstream = await rawUpstream(t, (socket) => void socket.write(ok));
    const relay = await startRelay(t, { upstreamPort: upstream.port });
    const answer = await sendRaw(relay.port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(300), 2_000);
    t.equal(answer.match(/HTTP\/1\.1 200 /g)?.length, 65);
    t.equal(answer.match(/HTTP\/1\.1 503 /g)?.length, 1);
    t.match(answer.slice(answer.indexOf('HTTP/1.1 503')), /queue_full.*connection: close/is);
    t.same(relay.refused, ['queue_full']);
  },
);

for (const [name, first, again] of [
  ['behind a slow one', 'GET /slow HTTP/1.1\r\nHost: a\r\n\r\n', 'GET / HTTP/1.1\r\n\r\n'],
  ['whose answers are not read', '', 'OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n'],
  ['behind a refused one', 'GET / HTTP/1.1\r\nHost: a b\r\n\r\n', 'GET / HTTP/1.1\r\n\r\n'],
] as const) {
  t.test(`200,000 requests sent ahead on one connection (${name}) are not even made requests of`, async (t) => {
    const upstream = await rawUpstream(t, (socket, received) => {
      if (!received.includes('/slow')) socket.write(ok);
    });
    const relay = await startRelay(t, { upstreamPort: upstream.port });
    const client = connect(relay.port, '127.0.0.1');
    t.teardown(() => client.destroy());
    client.on('error', () => {});
    client.pause();
    let made = 0;
    let server: Socket | undefined;
    const onRequest = (message: unknown) => {
      const { socket } = message as { readonly socket: Socket };
      if (socket.remotePort !== client.localPort) return;
      server = socket;
      made += 1;
    };
    subscribe('http.server.request.start', onRequest);
    t.teardown(() => unsubscribe('http.server.request.start', onRequest));
    const bytes = first + again.repeat(200_000);
    client.write(bytes);
    await eventually(() => server?.bytesRead === bytes.length);
    t.equal((await ask(relay.port, 'a')).status, 200);
    client.destroy();
    await eventually(() => relay.seats.open.size === 0 && server?.destroyed);
    t.ok(made < 10_000, `${made}: those of a few packets`);
  });
}
