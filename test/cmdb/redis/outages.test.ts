import { Redis } from 'ioredis';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { openRedisCmdb, type RedisCmdbOptions } from '../../../src/cmdb/redis.js';
import { addInstance, confirmGone } from '../../../src/model/deployment.js';
import { dayOf } from '../../../src/model/usage.js';
import { testApp } from '../../fixtures/app.js';
import { testInstance } from '../../fixtures/deployment.js';
import { eventually } from '../../fixtures/eventually.js';
import { startLossyProxy } from '../../fixtures/lossy-proxy.js';
import { testSigner } from '../../fixtures/signer.js';
import { startRedis } from '../../fixtures/redis.js';
import { collect } from '../collect.js';
import { session } from '../conformance/store.js';

function open(t: Test, url: string, options: Partial<RedisCmdbOptions> = {}) {
  const cmdb = openRedisCmdb({
    url,
    name: 'test',
    signer: testSigner(),
    logger: pino({ level: 'silent' }),
    onUnreadable() {},
    ...options,
  });
  t.teardown(() => cmdb.close());
  return cmdb;
}

t.test('an apply whose answers are lost on the way is carried out whole', async (t) => {
  const redis = await startRedis(t);
  if (!redis) return;
  const proxy = await startLossyProxy(t, redis.port);
  const cmdb = open(t, `redis://127.0.0.1:${proxy.port}`);
  const direct = open(t, redis.url);
  await cmdb.apply({ put: [testApp({ name: 'first', domains: [] })], remove: [] });
  const writes = [/\beval[^]*app:shop/i, /\beval[^]*domain:/i, /\beval[^]*scheduled/i];
  for (const [round, pattern] of writes.entries()) {
    const { position } = await direct.changes(undefined, AbortSignal.timeout(5_000));
    await direct.update('shop', (current) => addInstance(current, testInstance({ lastActiveAt: 0 })));
    proxy.dropAnswerTo(pattern);
    const app = testApp({ domains: ['shop.example', `${round}.example`], idleTtlMs: 1_000 + round });
    t.same(await cmdb.apply({ put: [app], remove: [] }), []);
    t.equal(proxy.isArmed, false, 'an answer was lost');
    t.same((await direct.find({ domain: `${round}.example` }))?.app, app);
    t.equal(await direct.find({ domain: `${round - 1}.example` }), undefined);
    t.ok((await collect(direct, position, 2)).some(({ app, version }) => app === 'shop' && version === undefined));
    t.same(await direct.due(2_000, 10), ['shop']);
    proxy.dropAnswerTo(/\beval[^]*app:shop/i);
    await cmdb.apply({ put: [], remove: ['shop'] });
    t.equal(proxy.isArmed, false, 'an answer was lost');
    t.match(await direct.find({ app: 'shop' }), { removed: true });
    proxy.dropAnswerTo(/\beval[^]*deployment:shop/i);
    await cmdb.update('shop', (current) => confirmGone(current, 'shop-1'));
    t.equal(await direct.find({ app: 'shop' }), undefined);
  }
});

t.test('a route that drops packets ends calls by their limit, and the connections are replaced', async (t) => {
  const redis = await startRedis(t);
  if (!redis) return;
  const proxy = await startLossyProxy(t, redis.port);
  const cmdb = open(t, `redis://127.0.0.1:${proxy.port}`, { timeLimitMs: 1_000, changesWaitMs: 60_000 });
  const direct = open(t, redis.url);
  await eventually(() => cmdb.apply({ put: [testApp()], remove: [] }));
  const { position } = await eventually(() => cmdb.changes(undefined, AbortSignal.timeout(5_000)));
  const stop = new AbortController();
  const waiting = cmdb.changes(position, stop.signal).catch((error: unknown) => error);
  await eventually(() => proxy.connections === 2);
  proxy.silence();
  await t.rejects(cmdb.find({ app: 'shop' }), { code: 'cmdb_unavailable' });
  stop.abort();
  await waiting;
  await eventually(async () => (await cmdb.find({ app: 'shop' }))?.app.name === 'shop');
  await eventually(() => direct.update('shop', (current) => ({ ...current })));
  t.match(await eventually(() => collect(cmdb, position, 1)), [{ app: 'shop' }]);
});

t.test('waiting for changes ends at once with the signal, also where the server is frozen', async (t) => {
  const redis = await startRedis(t);
  if (!redis) return;
  const cmdb = open(t, redis.url, { timeLimitMs: 60_000, changesWaitMs: 60_000 });
  await cmdb.apply({ put: [testApp()], remove: [] });
  const { position } = await cmdb.changes(undefined, AbortSignal.timeout(5_000));
  const admin = new Redis(redis.url);
  const stop = new AbortController();
  const waiting = cmdb.changes(position, stop.signal);
  await eventually(async () => /blocked_clients:1/.test(await admin.info('clients')));
  admin.disconnect();
  redis.process.kill('SIGSTOP');
  stop.abort();
  // What comes after the wait is answered by no one: the connection is closed to end it.
  const closed = cmdb.close();
  await waiting.catch((error: unknown) => t.match(error, { code: 'cmdb_unavailable' }));
  await closed;
  redis.process.kill('SIGCONT');
});

t.test('a server that became a replica is left for the one that the name leads to now', async (t) => {
  const redis = await startRedis(t);
  if (!redis) return;
  const cmdb = open(t, redis.url);
  await cmdb.apply({ put: [testApp()], remove: [] });
  const admin = new Redis(redis.url);
  t.teardown(() => admin.disconnect());
  const connections = async () => Number(/total_connections_received:(\d+)/.exec(await admin.info('stats'))?.[1]);
  const before = await connections();
  await admin.replicaof('127.0.0.1', '1');
  await t.rejects(cmdb.beat(session('a')), { code: 'cmdb_unavailable' });
  await eventually(async () => (await connections()) > before);
  await admin.replicaof('NO', 'ONE');
  await eventually(async () => (await cmdb.beat(session('a'))).sessions.length === 1);
});

t.test('a user with the documented rights only can do everything', async (t) => {
  const redis = await startRedis(t);
  if (!redis) return;
  const admin = new Redis(redis.url);
  const commands =
    '+get +mget +set +del +hset +hgetall +hexists +hdel +zadd +zrem +zrange +zrangebyscore +zscore +sadd +srem +smembers +xadd ' +
    '+xlen +xrange +xrevrange +xread +eval +evalsha';
  await admin.call('ACL', 'SETUSER', 'limited', 'on', '>pw', '~{test}:*', ...commands.split(' '));
  t.teardown(() => admin.disconnect());
  const cmdb = open(t, `redis://limited:pw@127.0.0.1:${redis.port}/0`, { changesWaitMs: 50 });
  t.same(await cmdb.apply({ put: [testApp()], remove: [] }), []);
  const startedAt = Date.now() - 60_000;
  await cmdb.update('shop', (current) => addInstance(current, testInstance({ startedAt })));
  t.same(await cmdb.due(1e12, 10), ['shop']);
  const first = await cmdb.beat(session('a'));
  t.match(first, { revoked: false, sessions: [session('a')] });
  t.equal((await cmdb.beat(session('a', 1))).identity, first.identity);
  const { position } = await cmdb.changes(undefined, AbortSignal.timeout(5_000));
  t.match(await cmdb.changes(position, AbortSignal.timeout(5_000)), { changes: [], gap: false });
  for await (const { app } of cmdb.list('all')) t.equal(app.name, 'shop');
  await cmdb.apply({ put: [], remove: ['shop'] });
  await cmdb.update('shop', (current) => confirmGone(current, 'shop-1'));
  t.equal(await cmdb.find({ app: 'shop' }), undefined);
  const period = { from: dayOf(startedAt), to: dayOf(Date.now()) };
  const used: string[] = [];
  for await (const { app } of cmdb.usage(period)) used.push(app);
  t.same(used, ['shop']);
  const rows = await admin.keys('{test}:usage:*');
  t.ok(rows.length > 0);
  for (const row of rows) t.ok((await admin.ttl(row)) > 0, 'usage goes by itself');
  // A script that is refused in its middle leaves what it wrote before, and nobody hears of it.
  const refused = (await admin.call('ACL', 'LOG')) as unknown[][];
  t.same(
    refused.filter((entry) => entry.includes('lua')),
    [],
  );
  await cmdb.beat(session('a', 2), ['a']);
});

t.test('nothing is believed of a store that came back before a beat has told which one it is', async (t) => {
  const redis = await startRedis(t);
  if (!redis) return;
  const cmdb = open(t, redis.url);
  await cmdb.apply({ put: [testApp()], remove: [] });
  const before = await cmdb.beat(session('a'));
  const { position } = await cmdb.changes(undefined, AbortSignal.timeout(5_000));
  await redis.restart();
  t.match(await eventually(() => cmdb.changes(position, AbortSignal.timeout(5_000))), { gap: true }, 'is told at once');
  const happened: string[] = [];
  const found = cmdb.find({ app: 'shop' }).then((record) => {
    happened.push('found');
    return record;
  });
  // Held back as long as it may be: the beat comes after a read that has been answered.
  await cmdb.changes(undefined, AbortSignal.timeout(5_000));
  happened.push('about to beat');
  const after = await cmdb.beat(session('a'));
  happened.push('knows the store');
  t.equal(await found, undefined);
  t.same(happened, ['about to beat', 'knows the store', 'found']);
  t.not(after.identity, before.identity);
});

t.test('a store of which no beat tells is refused after a connection was lost', async (t) => {
  const redis = await startRedis(t);
  if (!redis) return;
  const cmdb = open(t, redis.url, { timeLimitMs: 200 });
  await eventually(() => cmdb.beat(session('a')));
  await redis.restart();
  await eventually(() => cmdb.changes(undefined, AbortSignal.timeout(5_000)));
  await t.rejects(cmdb.find({ app: 'shop' }), { code: 'cmdb_unavailable' });
  await cmdb.beat(session('a'));
  t.equal(await cmdb.find({ app: 'shop' }), undefined);
});
