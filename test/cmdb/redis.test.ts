import { randomBytes } from 'node:crypto';
import { Redis } from 'ioredis';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import type { Cmdb, UnreadableReport } from '../../src/cmdb/cmdb.js';
import type { RecordSigner } from '../../src/cmdb/record-signer.js';
import { openRedisCmdb, type RedisCmdbOptions } from '../../src/cmdb/redis.js';
import { testApp } from '../fixtures/app.js';
import { eventually } from '../fixtures/eventually.js';
import { startLossyProxy } from '../fixtures/lossy-proxy.js';
import { startRedis, type TestRedis } from '../fixtures/redis.js';
import { testSigner } from '../fixtures/signer.js';
import { cmdbConformance } from './conformance.js';
import type { CmdbUnderTest } from './conformance/store.js';

const logger = pino({ level: 'silent' });

function openOn(t: Test, url: string, options: Partial<RedisCmdbOptions> = {}): Cmdb {
  const cmdb = openRedisCmdb({ url, name: 'test', signer: testSigner(), logger, onUnreadable() {}, ...options });
  t.teardown(() => cmdb.close());
  return cmdb;
}

function freshOn(redis: TestRedis) {
  return async (t: Test): Promise<CmdbUnderTest> => {
    const name = `t${randomBytes(4).toString('hex')}`;
    const [unreadable, readable]: [string[], string[]] = [[], []];
    const logLength = 20;
    const openAs = (signer: RecordSigner, options: Partial<RedisCmdbOptions> = {}) => {
      const onUnreadable: UnreadableReport = (record, problem) =>
        void (problem === undefined ? readable : unreadable).push(record);
      return openOn(t, redis.url, { name, signer, logLength, onUnreadable, ...options });
    };
    return {
      unreadable,
      logLength,
      readable,
      signer: testSigner(name),
      open: () => openAs(testSigner(name)),
      openAt: (now) => openAs(testSigner(name), { now, usageDays: 3 }),
      openAs,
      async stored(kind, key) {
        const client = new Redis(redis.url);
        const text = await client.get(`{${name}}:${kind}:${key}`);
        client.disconnect();
        return text as string;
      },
      async spoil(kind, key, text) {
        const client = new Redis(redis.url);
        if (kind === 'session') await client.hset(`{${name}}:sessions`, key, text ?? '');
        else if (text === undefined) await client.del(`{${name}}:${kind}:${key}`);
        else await client.set(`{${name}}:${kind}:${key}`, text);
        client.disconnect();
      },
      async remnants() {
        const client = new Redis(redis.url);
        const keys = await client.keys(`{${name}}:*`);
        client.disconnect();
        const kept = ['changes', 'nonce', 'signing-key', 'ledger', 'users', 'usage'];
        return keys.filter((key) => !kept.includes(key.split(':')[1] ?? ''));
      },
    };
  };
}

t.test('the port, on a real server', async (t) => {
  const redis = await startRedis(t);
  if (redis) cmdbConformance(t, freshOn(redis));
  // The subtests are queued: this one ends when they have.
  await Promise.resolve();
});

t.test('a server that is not there yet is waited for', async (t) => {
  const redis = await startRedis(t);
  if (!redis) return;
  await redis.stop();
  const cmdb = openOn(t, redis.url, { timeLimitMs: 300 });
  await t.rejects(cmdb.find({ app: 'shop' }), { code: 'cmdb_unavailable' });
  await redis.restart();
  await eventually(async () => (await cmdb.apply({ put: [testApp()], remove: [] })).length === 0);
  t.equal((await cmdb.find({ app: 'shop' }))?.app.name, 'shop');
});

t.test('a server that hangs ends calls by their limit, and answers again when it goes on', async (t) => {
  const redis = await startRedis(t);
  if (!redis) return;
  const cmdb = openOn(t, redis.url, { timeLimitMs: 300 });
  await cmdb.apply({ put: [testApp()], remove: [] });
  redis.process.kill('SIGSTOP');
  await t.rejects(cmdb.find({ app: 'shop' }), { code: 'cmdb_unavailable' });
  await t.rejects(cmdb.beat({ incarnation: 'a', host: 'h', beats: 0, process: { pid: 1, startTime: '', bootId: '' } }));
  redis.process.kill('SIGCONT');
  await eventually(async () => (await cmdb.find({ app: 'shop' }))?.app.name === 'shop');
});

t.test('a server that comes back empty is another store', async (t) => {
  const redis = await startRedis(t);
  if (!redis) return;
  const cmdb = openOn(t, redis.url, { timeLimitMs: 500 });
  const session = { incarnation: 'a', host: 'h', beats: 0, process: { pid: 1, startTime: '', bootId: '' } };
  const before = await cmdb.beat(session);
  await redis.restart();
  const after = await eventually(() => cmdb.beat({ ...session, beats: 1 }));
  t.not(after.identity, before.identity);
});

t.test('a write whose reply is lost is carried out once, and known', async (t) => {
  const redis = await startRedis(t);
  if (!redis) return;
  const proxy = await startLossyProxy(t, redis.port);
  const cmdb = openOn(t, `redis://127.0.0.1:${proxy.port}`, { timeLimitMs: 1_000 });
  await cmdb.apply({ put: [testApp()], remove: [] });
  const breaker = { failures: 0, retryAt: 0, code: 'boot_failed', message: '' } as const;
  await cmdb.update('shop', (current) => ({ ...current, breaker }));
  for (let round = 1; round <= 5; round += 1) {
    proxy.dropAnswerTo(/\beval/i);
    const { deployment } = await cmdb.update('shop', (current) => ({
      ...current,
      breaker: { ...breaker, failures: (current.breaker?.failures ?? 0) + 1 },
    }));
    t.equal(deployment.breaker?.failures, round);
    t.equal(proxy.isArmed, false, 'a reply was lost');
  }
  t.equal((await cmdb.find({ app: 'shop' }))?.deployment.breaker?.failures, 5);
});

t.test('a password is sent, and a wrong one ends in an error', async (t) => {
  const redis = await startRedis(t, '--requirepass', 's3cret');
  if (!redis) return;
  const cmdb = openOn(t, `redis://:s3cret@127.0.0.1:${redis.port}/3`);
  t.same(await cmdb.apply({ put: [testApp()], remove: [] }), []);
  const wrong = openOn(t, `redis://:wrong@127.0.0.1:${redis.port}`, { timeLimitMs: 500 });
  await t.rejects(wrong.find({ app: 'shop' }), { code: 'cmdb_unavailable' });
});

t.test('a cluster keeps the whole store in one slot', async (t) => {
  const redis = await startRedis(t, '--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1');
  if (!redis) return;
  const setUp = new Redis(redis.port);
  await setUp.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
  await eventually(async () => String(await setUp.call('CLUSTER', 'INFO')).includes('cluster_state:ok'));
  setUp.disconnect();
  const cmdb = openOn(t, `redis-cluster://127.0.0.1:${redis.port}`);
  await eventually(async () => (await cmdb.apply({ put: [testApp()], remove: [] })).length === 0);
  const { version } = await cmdb.update('shop', (current) => ({ ...current }));
  t.equal((await cmdb.find({ domain: 'shop.example' }))?.version, version);
  const { position } = await cmdb.changes(undefined, AbortSignal.timeout(1_000));
  const waiting = cmdb.changes(position, AbortSignal.timeout(10_000));
  await cmdb.update('shop', (current) => ({ ...current }));
  t.match((await waiting).changes, [{ app: 'shop' }]);
  t.ok(
    (await cmdb.beat({ incarnation: 'a', host: 'h', beats: 0, process: { pid: 1, startTime: '', bootId: '' } }))
      .identity,
  );
});
