import { Agent } from 'node:http';
import t, { type Test } from 'tap';
import { startRedis } from '../../fixtures/redis.js';
import { ask } from '../../fixtures/request.js';
import { installWorkers, many, spawnWorkers, terminate } from './spawn-workers.js';

const host = 'hello.localhost';

async function herd(t: Test, main: Record<string, unknown>): Promise<void> {
  // One worker may get more than its half of the connections, and a busy machine takes its time.
  const patient = { http: { maxConnectionsPerClient: 4_000 }, ...main };
  const apps = { hello: { queue: { max: 4_000, timeout: '10m' } } };
  const daemon = await spawnWorkers(t, await installWorkers(t, patient, apps), '--stop-apps');
  const agent = new Agent({ maxSockets: Infinity });
  const answers = await many(1_000, () => ask(daemon.port, host, '/', { agent }));
  agent.destroy();
  t.equal(answers.filter(({ status }) => status === 200).length, 1_000);
  t.equal(daemon.log.filter(({ msg }) => msg === 'booting').length, 1);
  t.equal(await terminate(daemon), 0);
}

t.test('a herd of 1,000 over two workers boots once', async (t) => {
  await t.test('on lmdb', (t) => herd(t, {}));
  const redis = await startRedis(t);
  if (redis) await t.test('on redis', (t) => herd(t, { cmdb: redis.url }));
});
