import { fetchAdmin } from '../fixtures/admin.js';
import { spawnSync } from 'node:child_process';
import { connect, type Socket } from 'node:net';
import { once } from 'node:events';
import t, { type Test } from 'tap';
import { install, killAfter, spawnCommand, spawnDaemon, startDaemon, until } from '../fixtures/daemon.js';
import { eventually } from '../fixtures/eventually.js';
import { ok, rawUpstream, sendRaw } from '../fixtures/raw.js';
import { startRelay } from '../fixtures/relay.js';
import { ask } from '../fixtures/request.js';
import { metric } from '../fixtures/vital-signs.js';

/** A client that is closed after the test, whatever becomes of it. */
function client(t: Test, port: number): Socket {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => {});
  t.teardown(() => socket.destroy());
  return socket;
}

t.test('clients that drip their bodies lose their places, and honest ones are served meanwhile', async (t) => {
  const upstream = await rawUpstream(t, (socket, received) => {
    if (received.startsWith('GET') || received.endsWith('end')) socket.write(ok);
  });
  const limits = { requestBodyIdleTimeoutMs: 1_000, requestBodyMinRateBytes: 100 };
  const { port, seats, failed } = await startRelay(t, { upstreamPort: upstream.port, ...limits });
  const drips = Array.from({ length: 20 }, () => client(t, port));
  const answers = drips.map(async (drip) => {
    drip.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n');
    const timer = setInterval(() => drip.write('x'), 100);
    const [answer] = (await once(drip, 'data')) as [Buffer];
    clearInterval(timer);
    return answer.toString();
  });
  await eventually(() => seats.open.size === 20);
  t.equal((await ask(port, 'a')).status, 200);
  for (const answer of await Promise.all(answers)) t.match(answer, /^HTTP\/1\.1 408 .*request_timeout/s);
  await eventually(() => seats.open.size === 0);
  t.ok(failed.every(({ code, replayable }) => code === 'request_timeout' && !replayable));
});

t.test('an upload that flows may take as long as it likes, also where the app reads it slowly', async (t) => {
  const upstream = await rawUpstream(t, (socket, received) => {
    socket.pause();
    setTimeout(() => socket.resume(), 300);
    if (received.endsWith('end')) socket.write(ok);
  });
  const limits = { requestBodyIdleTimeoutMs: 1_000, requestBodyMinRateBytes: 100 };
  const { port } = await startRelay(t, { upstreamPort: upstream.port, ...limits });
  const uploader = client(t, port);
  uploader.write('POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 40003\r\n\r\n');
  for (let part = 0; part < 40; part += 1) {
    uploader.write('x'.repeat(1_000));
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  uploader.write('end');
  t.match(String((await once(uploader, 'data'))[0]), /^HTTP\/1\.1 200 /);
});

t.test('readers that stop lose their places, and honest ones are served meanwhile', async (t) => {
  const { port, seats, finished } = await startRelay(t, {
    upstreamPort: (
      await rawUpstream(t, (socket, received) => {
        if (!received.includes('/large')) return void socket.write(ok);
        socket.write('HTTP/1.1 200 OK\r\n\r\n');
        const more = () => {
          while (socket.writable && socket.write(Buffer.alloc(65_536)));
        };
        socket.on('drain', more);
        more();
      })
    ).port,
    responseStallTimeoutMs: 1_000,
  });
  const stalled = Array.from({ length: 10 }, () => {
    const reader = client(t, port);
    reader.pause();
    reader.write('GET /large HTTP/1.1\r\nHost: a\r\n\r\n');
    return reader;
  });
  await eventually(() => seats.open.size === 10);
  t.equal((await ask(port, 'a')).status, 200);
  await eventually(() => seats.open.size === 0);
  t.equal(finished.filter(({ outcome }) => outcome === 'client_gone').length, stalled.length);
});

t.test('a reader that stops when the app has given all of its answer is closed as well', async (t) => {
  const body = Buffer.alloc(8_000_000);
  const upstream = await rawUpstream(t, (socket) =>
    socket.write(Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`), body])),
  );
  const { port, seats } = await startRelay(t, { upstreamPort: upstream.port, responseStallTimeoutMs: 1_000 });
  const reader = client(t, port);
  reader.pause();
  reader.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
  await eventually(() => seats.taken === 1 && seats.open.size === 0);
  reader.resume();
  await once(reader, 'close');
  t.ok(reader.bytesRead < body.length, 'it was cut');
});

t.test('a slow reader that goes on reading, and a stream on which nothing is sent, are not stalled', async (t) => {
  const upstream = await rawUpstream(t, (socket, received) => {
    if (received.includes('/events')) {
      socket.write('HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n');
      setTimeout(() => socket.end('data: 2\n\n'), 4_000);
      return;
    }
    const body = Buffer.alloc(3_000_000);
    socket.write(Buffer.concat([Buffer.from(`HTTP/1.1 200 OK\r\nContent-Length: ${body.length}\r\n\r\n`), body]));
  });
  const { port, finished } = await startRelay(t, { upstreamPort: upstream.port, responseStallTimeoutMs: 1_500 });
  const events = sendRaw(port, 'GET /events HTTP/1.1\r\nHost: a\r\n\r\n', 8_000);
  const reader = client(t, port);
  reader.write('GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
  let bytes = 0;
  reader.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    reader.pause();
    setTimeout(() => reader.resume(), 50);
  });
  await once(reader, 'end');
  t.ok(bytes > 3_000_000);
  t.match(await events, /data: 2/);
  await eventually(() => finished.length === 2);
  t.ok(finished.every(({ outcome }) => outcome === 'complete'));
});

t.test('WebSocket clients that stop reading lose their places, quiet ones and those that read do not', async (t) => {
  const flood = (socket: Socket) => {
    while (
      socket.writable &&
      socket.write(Buffer.concat([Buffer.from([0x82, 0x7e, 0xff, 0xff]), Buffer.alloc(65_535)]))
    );
  };
  const upstream = await rawUpstream(t, (socket, received) => {
    if (!received.endsWith('\r\n\r\n')) return;
    socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n');
    if (!received.startsWith('GET /flood')) return;
    socket.on('drain', () => flood(socket));
    flood(socket);
  });
  const relay = await startRelay(t, { upstreamPort: upstream.port, responseStallTimeoutMs: 1_000 });
  const open = (path: string) => {
    const socket = client(t, relay.port);
    socket.write(
      `GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
        'Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n',
    );
    return socket;
  };
  const quiet = open('/quiet');
  await once(quiet, 'data');
  const reader = open('/flood');
  let bytes = 0;
  reader.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
    reader.pause();
    setTimeout(() => reader.resume(), 5);
  });
  const stalled = Array.from({ length: 5 }, () => open('/flood').pause());
  await eventually(() => relay.seats.taken === 7);
  await eventually(() => relay.seats.open.size === 2);
  t.equal(relay.finished.length, stalled.length);
  const before = bytes;
  await eventually(() => bytes > before + 1_000_000);
  t.notOk(quiet.closed);
  t.notOk(reader.closed);
  t.equal(relay.seats.open.size, 2);
});

t.test('for one connection too many an idle one goes, first of all of the client that has most', async (t) => {
  const upstream = await rawUpstream(t, (socket, received) => {
    if (!received.includes('/slow')) socket.write(ok);
  });
  const bounds = { maxConnections: 10, maxConnectionsPerClient: 5 };
  const relay = await startRelay(t, { upstreamPort: upstream.port, ...bounds });
  const idle = Array.from({ length: 5 }, () => client(t, relay.port));
  await Promise.all(idle.map((socket) => once(socket, 'connect')));
  t.equal((await ask(relay.port, 'a')).status, 200, 'its own idle connection made room');
  await eventually(() => idle.filter((socket) => socket.closed).length === 1);
  t.same(relay.closed, ['room']);
  const busy = Array.from({ length: 5 }, () => client(t, relay.port));
  for (const socket of busy) socket.write('GET /slow HTTP/1.1\r\nHost: a\r\n\r\n');
  await eventually(() => relay.seats.open.size === 5);
  const refused = client(t, relay.port);
  await once(refused, 'close');
  t.equal(relay.closed.at(-1), 'client_limit', 'each of its connections has a request');
  t.ok(busy.every((socket) => !socket.closed));
});

t.test('a trusted proxy may have as many connections as there are', async (t) => {
  const upstream = await rawUpstream(t, (socket) => void socket.write(ok));
  const bounds = { maxConnections: 10, maxConnectionsPerClient: 1, trustedProxies: ['127.0.0.1'] };
  const relay = await startRelay(t, { upstreamPort: upstream.port, ...bounds });
  const open = Array.from({ length: 10 }, () => client(t, relay.port));
  await Promise.all(open.map((socket) => once(socket, 'connect')));
  await once(client(t, relay.port), 'close');
  t.same(relay.closed, ['limit']);
  t.ok(
    open.every((socket) => !socket.closed),
    'its idle connections are its pool',
  );
});

t.test(
  'more idle connections than the descriptor limit end nothing, and health and honest requests are answered',
  async (t) => {
    const installation = await install(t);
    const command = `ulimit -n 256; exec "${process.execPath}" dist/src/main.js start --config "${installation.file}"`;
    const { port, admin, child, log } = await spawnCommand(t, 'sh', '-c', command);
    t.match(
      log.find(({ msg }) => String(msg).includes('may open 256 files')),
      { openFiles: 256, taken: 96 },
    );
    const first = await ask(port, 'hello.localhost');
    t.equal(first.status, 200, first.body);
    const { pid } = JSON.parse(first.body) as { pid: number };
    killAfter(t, pid);
    const idle = Array.from({ length: 600 }, () => client(t, port));
    await Promise.all(idle.map((socket) => Promise.race([once(socket, 'connect'), once(socket, 'close')])));
    for (let round = 0; round < 5; round += 1) {
      t.equal((await ask(port, 'hello.localhost')).status, 200);
      t.equal((await fetchAdmin(`${admin}/healthz`)).status, 200);
    }
    t.ok((await metric(admin, /^fastcontainer_connections /)) <= 96);
    t.ok((await metric(admin, /^fastcontainer_connections_closed_total\{cause="room"/)) >= 500);
    t.equal(child.exitCode, null);
  },
);

const hasPrlimit = spawnSync('prlimit', ['--version']).status === 0;
const needsPrlimit = { skip: hasPrlimit ? false : 'prlimit (util-linux) is not installed' };

t.test(
  'a process without a single descriptor left lives on, and takes no living app for dead',
  needsPrlimit,
  async (t) => {
    const { port, admin, child, log } = await spawnDaemon(t, await install(t, { memory: { floor: '1m' } }));
    const first = JSON.parse((await ask(port, 'hello.localhost')).body) as { pid: number };
    killAfter(t, first.pid);
    // Every open, accept and connect fails from now on.
    const limit = (files: number) => spawnSync('prlimit', ['--pid', String(child.pid), `--nofile=${files}:`]);
    t.equal(limit(3).status, 0);
    for (let round = 0; round < 20; round += 1) {
      const knock = client(t, port);
      knock.write('GET / HTTP/1.1\r\nHost: hello.localhost\r\n\r\n');
      const operator = fetchAdmin(`${admin}/healthz`, { signal: AbortSignal.timeout(300) }).catch(() => {});
      await Promise.race([once(knock, 'close'), new Promise((resolve) => setTimeout(resolve, 300))]);
      await operator;
    }
    limit(4_096);
    t.equal(child.exitCode, null);
    await until(async () => ((await fetchAdmin(`${admin}/healthz`).catch(() => undefined))?.ok ? true : undefined));
    const again = JSON.parse((await ask(port, 'hello.localhost')).body) as { pid: number };
    t.equal(again.pid, first.pid, 'the same process serves');
    t.notOk(log.some(({ level }) => level === 'fatal'));
  },
);

t.test('long hosts of every kind are refused or unknown, and honest requests are answered meanwhile', async (t) => {
  const { port } = await startDaemon(t, await install(t));
  t.equal((await ask(port, 'hello.localhost')).status, 200);
  const latin1 = (text: string) => Buffer.from(text).toString('latin1');
  const hosts = [
    latin1('中'.repeat(5_000)),
    latin1(`${'\u00ad'.repeat(7_000)}hello.localhost`),
    `${'a.'.repeat(7_000)}localhost`,
    `xn--${'a'.repeat(14_000)}`,
    `[${':'.repeat(14_000)}]`,
    latin1('\u0301'.repeat(500)),
  ];
  const attacks = Array.from({ length: 60 }, async (_, index) => {
    const host = hosts[index % hosts.length] as string;
    t.match(
      await sendRaw(port, `GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`, 5_000),
      /^HTTP\/1\.1 400 /,
    );
    t.match(
      await sendRaw(port, `GET http://${host}/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`, 5_000),
      /^HTTP\/1\.1 400 /,
    );
  });
  for (let round = 0; round < 10; round += 1) t.equal((await ask(port, 'hello.localhost')).status, 200);
  await Promise.all(attacks);
});
