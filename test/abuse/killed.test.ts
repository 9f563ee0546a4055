import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';
import t from 'tap';
import { type Installation, install, isAlive, spawnDaemon, startDaemon, until, webApp } from '../fixtures/daemon.js';
import { metric } from '../fixtures/metric.js';
import { ask, askIdentity, instances } from '../fixtures/request.js';
import { TestWebSocket } from '../fixtures/websocket.js';

const herdSize = 200;

function herd(port: number, path: string): Promise<number[]> {
  const one = () =>
    ask(port, 'hello.localhost', path).then(
      ({ status }) => status,
      () => 0,
    );
  return Promise.all(Array.from({ length: herdSize }, one));
}

/** Processes of the installation's app: what its runtime marked as its own. */
function processesOf({ dir }: Installation, app: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && isAlive(Number(name)))
    .filter((pid) => {
      try {
        const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8');
        return command.includes(webApp) && readFileSync(`/proc/${pid}/environ`, 'utf8').includes(`${dir} ${app}`);
      } catch {
        return false;
      }
    })
    .map(Number);
}

/** Whether this process, in which the daemon runs, holds a connection to an address. */
function connectedTo(address: string): boolean {
  const open = (process as unknown as { _getActiveHandles(): { remotePort?: number }[] })._getActiveHandles();
  return open.some(({ remotePort }) => remotePort === Number(address.split(':').at(-1)));
}

const marked = (installation: { dir: string }, app: string) => ({ MARK: `${installation.dir} ${app}` });

t.test('a container killed with -9 in the middle of a download cuts it, and is replaced', async (t) => {
  const { port, admin } = await startDaemon(t, await install(t));
  const { pid } = await askIdentity(port, 'hello.localhost');
  const downloads = Array.from({ length: 20 }, () => connect(port, '127.0.0.1'));
  const ends = downloads.map((socket) => once(socket, 'close'));
  let tails = '';
  for (const socket of downloads) {
    socket.on('data', (data: Buffer) => (tails = data.subarray(-5).toString('latin1')));
    socket.on('error', () => {});
    socket.write('GET /download HTTP/1.1\r\nHost: hello.localhost\r\n\r\n');
  }
  await Promise.all(downloads.map((socket) => once(socket, 'data')));
  process.kill(pid, 'SIGKILL');
  await Promise.all(ends);
  t.not(tails, '0\r\n\r\n', 'half an answer is not passed off as a whole one');
  t.not((await askIdentity(port, 'hello.localhost')).pid, pid);
  await until(async () => (await instances(admin, 'hello')).every(({ inflight }) => inflight === 0));
});

t.test(
  'a container killed with -9 in the middle of an upload answers upstream_reset, and nothing is sent twice',
  async (t) => {
    const { port, admin } = await startDaemon(t, await install(t));
    const { pid } = await askIdentity(port, 'hello.localhost');
    const socket = connect(port, '127.0.0.1');
    let answer = '';
    socket.on('data', (data: Buffer) => (answer += data.toString()));
    socket.write('POST /upload HTTP/1.1\r\nHost: hello.localhost\r\nContent-Length: 1000000\r\n\r\n');
    socket.write(Buffer.alloc(100_000));
    await until(async () => (await instances(admin, 'hello'))[0]?.inflight === 1);
    process.kill(pid, 'SIGKILL');
    await until(() => answer.startsWith('HTTP/1.1 502 ') && answer.includes('upstream_reset'));
    t.match(answer, /\r\nConnection: close\r\n/i, 'the rest of the body is not taken for a request');
    socket.destroy();
    await until(async () => (await ask(port, 'hello.localhost')).status === 200);
  },
);

t.test('an upload that meets a dead container is sent whole to its successor', async (t) => {
  const { port, admin } = await startDaemon(t, await install(t, {}, { hello: { idleTtl: '10m' } }));
  const { pid } = await askIdentity(port, 'hello.localhost');
  // What was asked a moment ago may hold a connection of which nobody can tell how much was read when it breaks.
  const [instance] = await instances(admin, 'hello');
  await until(() => !connectedTo(instance?.address ?? ''));
  process.kill(pid, 'SIGKILL');
  // While a thread of it still ends, its sockets are open and take what is sent.
  await until(() => !isAlive(pid) && threadsOf(pid) <= 1);
  const body = Buffer.alloc(1_000_000);
  t.match(await ask(port, 'hello.localhost', '/upload', { method: 'POST', body }), {
    status: 200,
    body: '{"bytes":1000000}',
  });
});

t.test('a client that breaks off its upload while a dead container is replaced ends nothing but itself', async (t) => {
  const { port, admin, log } = await startDaemon(t, await install(t, {}, { hello: { env: { BOOT_DELAY_MS: '700' } } }));
  const { pid } = await askIdentity(port, 'hello.localhost');
  process.kill(pid, 'SIGKILL');
  await until(() => !isAlive(pid));
  const gone = Array.from({ length: 20 }, () => connect(port, '127.0.0.1'));
  for (const socket of gone) {
    socket.on('error', () => {});
    socket.write('POST /upload HTTP/1.1\r\nHost: hello.localhost\r\nContent-Length: 1000000\r\n\r\nhalf');
  }
  await until(() => log.filter(({ msg }) => msg === 'booting').length === 2);
  for (const socket of gone) socket.resetAndDestroy();
  await until(async () => (await ask(port, 'hello.localhost')).status === 200);
  await until(async () => (await instances(admin, 'hello')).every(({ inflight }) => inflight === 0));
});

t.test('a container killed with -9 under a herd of GETs is replaced, and each of them is answered', async (t) => {
  const { port, admin } = await startDaemon(t, await install(t, {}, { hello: { concurrency: { max: herdSize } } }));
  const { pid } = await askIdentity(port, 'hello.localhost');
  const answers = herd(port, '/slow?ms=5000');
  await until(async () => ((await instances(admin, 'hello'))[0]?.inflight ?? 0) > herdSize / 2);
  process.kill(pid, 'SIGKILL');
  t.same(new Set(await answers), new Set([200]));
  await until(async () => (await instances(admin, 'hello')).every(({ inflight }) => inflight === 0));
});

t.test('WebSockets of a container killed with -9 all end, and leave no count', async (t) => {
  const { port, admin } = await startDaemon(t, await install(t));
  const { pid } = await askIdentity(port, 'hello.localhost');
  const sockets = await Promise.all(Array.from({ length: 50 }, () => TestWebSocket.open(port, 'hello.localhost')));
  for (const socket of sockets) socket.send('on its way');
  process.kill(pid, 'SIGKILL');
  for (const socket of sockets) while (await socket.next());
  await until(async () => (await instances(admin, 'hello')).length === 0);
  await until(async () => (await ask(port, 'hello.localhost')).status === 200);
});

t.test(
  'a container killed with -9 while it boots sends a whole herd away at once, and the next attempt serves',
  async (t) => {
    const installation = await install(t);
    const env = { BOOT_DELAY_MS: '60000', ...marked(installation, 'hello') };
    await installation.writeApp('hello', { env, bootTimeout: '5m' });
    const { daemon, port, admin } = await startDaemon(t, installation);
    const answers = herd(port, '/');
    await until(async () => (await metric(admin, 'fastcontainer_queue_length{app="hello"}')) === herdSize);
    const [pid] = await until(() => {
      const found = processesOf(installation, 'hello');
      return found.length > 0 ? found : undefined;
    });
    process.kill(pid as number, 'SIGKILL');
    t.same(new Set(await answers), new Set([503]));
    await installation.writeApp('hello', {});
    const { loadConfig } = await import('../../src/config/load-config.js');
    await daemon.reload(await loadConfig(installation.file, process.env));
    await until(async () => (await ask(port, 'hello.localhost')).status === 200);
  },
);

t.test('a dispatcher killed with -9 under a herd leaves one container, which its successor uses', async (t) => {
  const installation = await install(t);
  for (const [moment, env, path] of [
    ['while it boots', { BOOT_DELAY_MS: '1500' }, '/'],
    ['in the middle of requests', {}, '/slow?ms=60000'],
  ] as const) {
    await t.test(moment, async (t) => {
      await installation.writeApp('hello', {
        env: { ...env, ...marked(installation, 'hello') },
        concurrency: { max: herdSize, clientShare: 1 },
      });
      const first = await spawnDaemon(t, installation);
      const lost = herd(first.port, path);
      await until(() => first.log.find(({ msg }) => msg === (path === '/' ? 'booting' : 'ready')));
      if (path !== '/') await until(async () => (await instances(first.admin, 'hello'))[0]?.inflight === herdSize);
      first.child.kill('SIGKILL');
      t.same(new Set(await lost), new Set([0]), 'their connections broke');
      const second = await spawnDaemon(t, installation, '--stop-apps');
      t.same(new Set(await herd(second.port, '/')), new Set([200]));
      await until(async () => (await instances(second.admin, 'hello')).length === 1);
      await until(() => processesOf(installation, 'hello').length === 1);
      second.child.kill('SIGTERM');
      t.same(await once(second.child, 'exit'), [0, null]);
      t.same(processesOf(installation, 'hello'), []);
    });
  }
});

t.test(
  'a dispatcher that was frozen for longer than its session lives, while it booted, serves who waits',
  async (t) => {
    const installation = await install(t, {}, { hello: { env: { BOOT_DELAY_MS: '2000' } } });
    const { child, port, log } = await spawnDaemon(t, installation, '--stop-apps');
    const answers = herd(port, '/');
    await until(() => log.find(({ msg }) => msg === 'booting'));
    child.kill('SIGSTOP');
    await new Promise((resolve) => setTimeout(resolve, 13_000));
    child.kill('SIGCONT');
    t.same(new Set(await answers), new Set([200]));
    t.ok(await until(() => log.find(({ msg }) => /session lapsed/.test(String(msg)))), 'it noticed');
    child.kill('SIGTERM');
    t.same(await once(child, 'exit'), [0, null]);
  },
);

function threadsOf(pid: number): number {
  try {
    return readdirSync(`/proc/${pid}/task`).length;
  } catch {
    return 0;
  }
}
