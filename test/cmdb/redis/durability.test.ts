import { Redis } from 'ioredis';
import t from 'tap';
import { redisDurabilityWarnings } from '../../../src/cmdb/redis/durability.js';
import { eventually } from '../../fixtures/eventually.js';
import { freePort, startRedis } from '../../fixtures/redis.js';

t.test('a server that may lose data is named, each time with what to set', async (t) => {
  const redis = await startRedis(t, '--maxmemory-policy', 'allkeys-lru');
  if (!redis) return;
  const replica = await startRedis(t, '--replicaof', `127.0.0.1 ${redis.port}`);
  const admin = new Redis(redis.port);
  t.teardown(() => admin.disconnect());
  await eventually(async () => /connected_slaves:1/.test(await admin.info('replication')));
  t.match(await redisDurabilityWarnings({ url: redis.url }), [
    /appendonly yes/,
    /allkeys-lru.*maxmemory-policy noeviction/,
    /min-replicas-to-write 1/,
  ]);
  await replica?.stop();
});

t.test('a server that keeps its data gives no warning', async (t) => {
  const redis = await startRedis(t);
  if (!redis) return;
  const admin = new Redis(redis.port);
  await admin.config('SET', 'appendonly', 'yes');
  admin.disconnect();
  t.same(await redisDurabilityWarnings({ url: redis.url }), []);
});

t.test('a managed server that forbids CONFIG is told apart', async (t) => {
  const redis = await startRedis(t);
  if (!redis) return;
  const admin = new Redis(redis.port);
  await admin.call('ACL', 'SETUSER', 'limited', 'on', '>pw', '~*', '+@all', '-config');
  admin.disconnect();
  t.match(await redisDurabilityWarnings({ url: `redis://limited:pw@127.0.0.1:${redis.port}` }), [
    /CONFIG is forbidden/,
  ]);
});

t.test('a server that is not there is a problem that says what to check', async (t) => {
  await t.rejects(redisDurabilityWarnings({ url: `redis://127.0.0.1:${await freePort()}` }), {
    message: /the CMDB cannot be reached: .*ECONNREFUSED.*; check its address, password and TLS in cmdb/,
  });
});
