import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { Redis } from 'ioredis';
import t, { type Test } from 'tap';
import { testSigner } from '../../fixtures/signer.js';
import { openRedisCmdb, type RedisCmdbOptions } from '../../../src/cmdb/redis.js';
import { testApp } from '../../fixtures/app.js';
import { eventually } from '../../fixtures/eventually.js';
import { freePort, startRedis } from '../../fixtures/redis.js';

function open(t: Test, options: Pick<RedisCmdbOptions, 'url'> & Partial<RedisCmdbOptions>) {
  const cmdb = openRedisCmdb({
    name: 'test',
    signer: testSigner(),
    logger: pino({ level: 'silent' }),
    onUnreadable() {},
    ...options,
  });
  t.teardown(() => cmdb.close());
  return cmdb;
}

function folder(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'fastcontainer-redis-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

t.test('TLS is verified: with the right authority it works, without one it is refused', async (t) => {
  const dir = folder(t);
  const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: dir, stdio: 'pipe' });
  openssl(
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1'],
    ...['-keyout', 'key.pem', '-out', 'cert.pem', '-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1'],
  );
  const port = await freePort();
  const [cert, key] = [join(dir, 'cert.pem'), join(dir, 'key.pem')];
  const tls = ['--tls-port', String(port), '--tls-cert-file', cert, '--tls-key-file', key, '--tls-ca-cert-file', cert];
  const redis = await startRedis(t, ...tls, '--tls-auth-clients', 'no', '--requirepass', 's3cret');
  if (!redis) return;
  const url = `rediss://default:s3cret@127.0.0.1:${port}/0`;
  const cmdb = open(t, { url, caFile: cert });
  t.same(await cmdb.apply({ put: [testApp()], remove: [] }), []);
  const { position } = await cmdb.changes(undefined, AbortSignal.timeout(1_000));
  const waiting = cmdb.changes(position, AbortSignal.timeout(10_000));
  await cmdb.update('shop', (current) => ({ ...current }));
  t.match((await waiting).changes, [{ app: 'shop' }]);
  await t.rejects(open(t, { url, timeLimitMs: 500 }).find({ app: 'shop' }), { code: 'cmdb_unavailable' });
});

t.test('a server that listens on a UNIX socket only is reached through it, with password and database', async (t) => {
  const socket = join(folder(t), 'redis.sock');
  const redis = await startRedis(t, '--unixsocket', socket, '--requirepass', 's3/cret');
  if (!redis) return;
  const cmdb = open(t, { url: `redis+unix://default:s3%2Fcret@${socket}?db=2` });
  await eventually(async () => (await cmdb.apply({ put: [testApp()], remove: [] })).length === 0);
  const tcp = new Redis({ port: redis.port, password: 's3/cret', db: 2 });
  t.teardown(() => tcp.disconnect());
  t.not(await tcp.dbsize(), 0, 'it is in the database that was named');
  await t.rejects(open(t, { url: `redis+unix://${socket}`, timeLimitMs: 500 }).find({ app: 'shop' }), {
    code: 'cmdb_unavailable',
  });
});

t.test('Sentinels name the server', async (t) => {
  const redis = await startRedis(t);
  if (!redis) return;
  const dir = folder(t);
  const port = await freePort();
  const file = join(dir, 'sentinel.conf');
  writeFileSync(file, `port ${port}\nbind 127.0.0.1\ndir ${dir}\nsentinel monitor main 127.0.0.1 ${redis.port} 1\n`);
  const sentinel = spawn('redis-server', [file, '--sentinel'], { stdio: 'ignore' });
  t.teardown(async () => {
    sentinel.kill('SIGKILL');
    await once(sentinel, 'exit');
  });
  const cmdb = open(t, { url: `redis-sentinel://127.0.0.1:${port}/main/2` });
  await eventually(async () => (await cmdb.apply({ put: [testApp()], remove: [] })).length === 0);
  t.equal((await cmdb.find({ domain: 'shop.example' }))?.app.name, 'shop');
});
