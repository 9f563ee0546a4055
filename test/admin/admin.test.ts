import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  unlink,
  writeFile,
} from 'node:fs/promises';
import { request } from 'node:http';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import t, { type Test } from 'tap';
import { placeSocket, removeSocket } from '../../src/admin/socket-file.js';
import type { AppRecord } from '../../src/cmdb/cmdb.js';
import { RequestError } from '../../src/model/errors.js';
import { adminRecord as record, cmdbOf, startAdmin as start } from '../fixtures/admin-server.js';
import { testDeployment, testRevision } from '../fixtures/deployment.js';
import { eventually } from '../fixtures/eventually.js';
import { ask } from '../fixtures/request.js';

t.test('health says that it lives, readiness why it is not ready', async (t) => {
  const { port } = await start(t, {
    readiness: () => ({ ready: false, checks: { cmdb: { ok: false, detail: 'connection refused' } } }),
  });
  t.match(await ask(port, 'localhost', '/healthz'), { status: 200, body: /"version":"1\.2\.3"/ });
  t.match(await ask(port, 'localhost', '/readyz'), { status: 503, body: /connection refused/ });
});

t.test('metrics are in the text format', async (t) => {
  const { port } = await start(t);
  t.match(await ask(port, 'localhost', '/metrics'), {
    status: 200,
    headers: { 'content-type': /^text\/plain; version=0\.0\.4/ },
    body: /# TYPE fastcontainer_requests_total counter/,
  });
});

t.test('apps and instances are told without secrets', async (t) => {
  const { port } = await start(t);
  const apps = await ask(port, 'localhost', '/v1/apps');
  t.match(JSON.parse(apps.body), [
    {
      ...{ name: 'shop', domains: ['shop.example'], labels: { customer: 'c4711' } },
      ...{ instances: { ready: 1 }, breaker: { failures: 1 } },
    },
  ]);
  t.notMatch(apps.body, /hunter2/);
  const instances = await ask(port, 'localhost', '/v1/instances?app=shop');
  t.same(JSON.parse(instances.body), [
    {
      id: 'shop-1',
      app: 'shop',
      revision: testRevision,
      state: 'ready',
      runtime: 'process',
      host: 'here',
      address: '127.0.0.1:20001',
      bootedAt: '1970-01-01T00:00:00.000Z',
      readyAt: '1970-01-01T00:00:00.000Z',
      expiresAt: '1970-01-01T00:00:00.999Z',
      sleepsAt: null,
      lastActiveAt: '1970-01-01T00:00:00.000Z',
      cause: null,
      users: [{ session: 'me', since: '1970-01-01T00:00:00.000Z' }],
      inflight: 7,
      boot: { start: 5 },
    },
  ]);
  t.equal(JSON.parse((await ask(port, 'localhost', '/v1/instances')).body).length, 1);
});

t.test('a replacement under way and one that failed are told with the instances', async (t) => {
  const failedRevision = {
    failures: 2,
    retryAt: 0,
    code: 'boot_timeout',
    message: 'not ready',
    revision: 'r2',
  } as const;
  const rolling: AppRecord = {
    ...record,
    deployment: {
      ...testDeployment(
        {},
        { id: 'shop-2', state: 'booting', replaces: { id: 'shop-1', reason: 'revision' } },
        { id: 'shop-0', state: 'draining', end: { reason: 'lifetime', since: 0 } },
      ),
      failedRevision: { ...failedRevision, replaces: 'shop-1' },
    },
  };
  const { port } = await start(t, { cmdb: cmdbOf(rolling) });
  const [old, next, drained] = JSON.parse((await ask(port, 'localhost', '/v1/instances?app=shop')).body);
  t.match(old, { failedRevision: { ...failedRevision, retryAt: '1970-01-01T00:00:00.000Z' } });
  t.match(next, { replaces: { id: 'shop-1', reason: 'revision' }, failedRevision: undefined });
  t.match(drained, { end: { reason: 'lifetime', since: '1970-01-01T00:00:00.000Z' } });
});

t.test('what cannot be answered is a problem with its status', async (t) => {
  const down = async (): Promise<never> => {
    throw new RequestError('cmdb_unavailable');
  };
  const { port } = await start(t, { cmdb: { ...cmdbOf(record), find: down } });
  const cases: [string, number, string][] = [
    ['/nowhere', 404, 'not_found'],
    ['/v1/instances?apps=x', 400, 'bad_request'],
    ['/v1/instances?app=shop', 503, 'cmdb_unavailable'],
  ];
  for (const [path, status, code] of cases) {
    const answer = await ask(port, 'localhost', path);
    t.match(answer, { status, headers: { 'content-type': /^application\/problem\+json/ } }, path);
    t.equal(JSON.parse(answer.body).code, code);
  }
  const { port: up } = await start(t);
  t.match(await ask(up, 'localhost', '/v1/instances?app=nobody'), { status: 404, body: /unknown_app/ });
});

t.test('a token is asked for everywhere but for health', async (t) => {
  const { port } = await start(t, { token: 'a-long-enough-token' });
  t.equal((await ask(port, 'localhost', '/healthz')).status, 200);
  t.match(await ask(port, 'localhost', '/v1/apps'), { status: 401, headers: { 'www-authenticate': 'Bearer' } });
  const send = (token: string) => ask(port, 'localhost', '/v1/apps', { headers: { authorization: `Bearer ${token}` } });
  t.equal((await send('wrong-but-as-long-')).status, 401);
  t.equal((await send('a-long-enough-token')).status, 200);
});

t.test('without a token only loopback names are answered, so that no web page can ask', async (t) => {
  const { port } = await start(t);
  t.equal((await ask(port, 'evil.example', '/v1/apps')).status, 403);
  for (const host of ['localhost', '127.0.0.1:8081', '[::1]:8081']) {
    t.equal((await ask(port, host, '/v1/apps')).status, 200, host);
  }
});

/** The status that a socket's server answers /healthz with. */
function healthOf(socketPath: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    request({ socketPath, path: '/healthz', agent: false }, (res) => resolve(res.resume().statusCode))
      .on('error', reject)
      .end();
  });
}

async function directory(t: Test): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'fastcontainer-admin-'));
  t.teardown(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

t.test('a UNIX socket is for its owner only, and one that a dead process left is no obstacle', async (t) => {
  const path = join(await directory(t), 'run', 'admin.sock');
  const code = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  await mkdir(dirname(path));
  const dead = spawn(process.execPath, ['-e', code]);
  await once(dead, 'exit');
  t.ok((await lstat(path)).isSocket());
  const { address } = await start(t, { listen: { path } });
  t.equal(address, `unix:${path}`);
  t.equal((await stat(path)).mode & 0o777, 0o600);
  t.equal(await healthOf(path), 200);
});

t.test('nobody can reach a socket before it has its mode, and its path is free again after the end', async (t) => {
  const dir = await directory(t);
  const path = join(dir, 'admin.sock');
  // Whatever the process is started with.
  const before = process.umask(0);
  t.teardown(() => process.umask(before));
  const server = createServer();
  t.teardown(() => server.close());
  const group = String(process.getgid?.() ?? 0);
  const placed = await placeSocket(path, { mode: '0660', group }, async (made) => {
    await once(server.listen(made), 'listening');
    t.equal((await lstat(made)).mode & 0o777, 0o777, 'as the system makes it');
    t.equal((await stat(dirname(made))).mode & 0o777, 0o700, 'where only this user gets');
    t.notOk(existsSync(path));
  });
  const { mode, gid } = await stat(path);
  t.same([mode & 0o777, String(gid)], [0o660, group]);
  t.same(await readdir(dir), ['admin.sock'], 'nothing else is left there');
  await removeSocket(placed);
  t.same(await readdir(dir), []);
  const { admin } = await start(t, { listen: { path }, socket: { mode: '0660' } });
  t.equal((await stat(path)).mode & 0o777, 0o660);
  t.equal(await healthOf(path), 200);
  await admin.close();
  const refused = { mode: '0660', group: 'no-such-group' } as const;
  await t.rejects(start(t, { listen: { path }, socket: refused }), { message: /there is no group no-such-group/ });
  t.same(await readdir(dir), []);
});

t.test('a socket is made within its directory, however the one above it is, and never under a cut name', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'fastcontainer-admin-'));
  t.teardown(() => rm(dir, { recursive: true, force: true }));
  const made: string[] = [];
  const listen = async (path: string) => {
    made.push(path);
    await writeFile(path, '');
  };
  await placeSocket(join(dir, 'admin.sock'), { mode: '0600' }, listen);
  t.equal(dirname(dirname(made[0] ?? '')), dir);
  const long = join(dir, 'a'.repeat(104 - Buffer.byteLength(dir)), 's');
  await t.rejects(placeSocket(long, { mode: '0600' }, listen), { message: /a socket has at most 107 bytes/ });
  t.equal(made.length, 1);
  t.same(await readdir(dirname(long)), []);
});

t.test('a daemon that ends leaves the socket of its successor alone', async (t) => {
  const path = join(await directory(t), 'admin.sock');
  const { admin } = await start(t, { listen: { path } });
  await unlink(path);
  await start(t, { listen: { path } });
  await admin.close();
  t.equal(await healthOf(path), 200);
});

t.test('a directory for the socket is made for its owner only', async (t) => {
  const path = join(await directory(t), 'made', 'admin.sock');
  await start(t, { listen: { path } });
  t.equal((await stat(dirname(path))).mode & 0o777, 0o700);
});

t.test('what is no socket, and a socket on which somebody listens, are left alone', async (t) => {
  const dir = await directory(t);
  const [file, link, live] = [join(dir, 'file'), join(dir, 'link'), join(dir, 'live')];
  await writeFile(file, 'precious');
  await symlink(file, link);
  for (const path of [file, link, dir]) {
    await t.rejects(
      start(t, { listen: { path } }),
      { message: /is not a socket; move it away; change admin\.listen/ },
      path,
    );
  }
  t.equal(await readFile(file, 'utf8'), 'precious');
  t.ok((await lstat(link)).isSymbolicLink());
  await start(t, { listen: { path: live } });
  await t.rejects(start(t, { listen: { path: live } }), { message: /another process listens on .*live; stop it/ });
  t.equal(await healthOf(live), 200);
});

t.test('a directory in which others could replace the socket is refused', async (t) => {
  const dir = await directory(t);
  const path = join(dir, 'admin.sock');
  await chmod(dir, 0o777);
  await t.rejects(start(t, { listen: { path } }), { message: /others may write in .*; run: chmod go-w/ });
  await chmod(dir, 0o1777);
  await start(t, { listen: { path } });
  t.equal(await healthOf(path), 200, 'as in /tmp');
});

t.test('idle connections beyond the limit make room for whoever asks', async (t) => {
  const limits = { connections: 5, requestMs: 600_000, answerMs: 600_000 };
  const { port } = await start(t, { limits });
  const idle = Array.from({ length: 20 }, () => connect(port, '127.0.0.1'));
  t.teardown(() => idle.forEach((socket) => socket.destroy()));
  let closed = 0;
  for (const socket of idle) socket.on('error', () => {}).once('close', () => (closed += 1));
  await eventually(async () => closed === 15);
  t.match(await ask(port, 'localhost', '/healthz'), { status: 200 });
});

t.test('a client that does not send its request, and one that does not read its answer, are cut off', async (t) => {
  const limits = { connections: 5, requestMs: 200, answerMs: 200 };
  // More than the buffers of two sockets hold.
  const exposition = { contentType: 'text/plain', metrics: async () => 'x'.repeat(32 * 1024 * 1024) };
  const { port } = await start(t, { limits, exposition });
  const silent = connect(port, '127.0.0.1');
  const silentClosed = once(silent, 'close');
  silent.resume().write('GET /healthz HTTP/1.1\r\n');
  const stalled = connect(port, '127.0.0.1').pause();
  const stalledClosed = new Promise((resolve) => stalled.once('close', resolve));
  stalled.on('error', () => {}).write('GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n');
  await silentClosed;
  let bytes = 0;
  await eventually(async () => (await connectionsTo(port)) === 0);
  stalled.on('data', (chunk: Buffer) => (bytes += chunk.length)).resume();
  await stalledClosed;
  t.ok(bytes < 32 * 1024 * 1024, `${bytes} bytes`);
});

/** Counts this machine's established connections on the server's side of a port. */
async function connectionsTo(port: number): Promise<number> {
  const local = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  const lines = (await readFile('/proc/net/tcp', 'utf8')).split('\n').slice(1);
  return lines
    .map((line) => line.trim().split(/\s+/))
    .filter(([, from, , state]) => from?.endsWith(local) && state === '01').length;
}
