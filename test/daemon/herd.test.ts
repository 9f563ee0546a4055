import { Agent } from 'node:http';
import t, { type Test } from 'tap';
import { useDocker } from '../fixtures/docker.js';
import { dockerApp } from '../fixtures/docker-app.js';
import { install, startDaemon } from '../fixtures/daemon.js';
import { startRedis } from '../fixtures/redis.js';
import { ask } from '../fixtures/request.js';

/** A thousand at once, on connections of their own. */
async function herd(t: Test, port: number, log: Record<string, unknown>[]): Promise<void> {
  const agent = new Agent({ maxSockets: Infinity });
  const answers = await Promise.all(Array.from({ length: 1_000 }, () => ask(port, 'hello.localhost', '/', { agent })));
  agent.destroy();
  t.same(
    answers.filter(({ status }) => status !== 200),
    [],
  );
  t.equal(log.filter(({ msg }) => msg === 'booting').length, 1);
}

async function stores(t: Test): Promise<Record<string, Record<string, unknown>>> {
  const redis = await startRedis(t);
  return { lmdb: {}, ...(redis ? { redis: { cmdb: redis.url } } : {}) };
}

t.test('a herd of 1,000 boots one process', async (t) => {
  for (const [store, main] of Object.entries(await stores(t))) {
    await t.test(`on ${store}`, async (t) => {
      const { port, log } = await startDaemon(t, await install(t, main));
      await herd(t, port, log);
    });
  }
});

t.test('a herd of 1,000 boots one container', async (t) => {
  const engine = await useDocker(t);
  if (!engine) return;
  for (const [store, main] of Object.entries(await stores(t))) {
    await t.test(`on ${store}`, async (t) => {
      const { runtimes, app } = await dockerApp(t, engine);
      const installation = await install(t, { ...main, runtimes }, { hello: app });
      const { port, log } = await startDaemon(t, installation);
      await herd(t, port, log);
    });
  }
});
