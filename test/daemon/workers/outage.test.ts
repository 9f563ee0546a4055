import t from 'tap';
import { isAlive, until } from '../../fixtures/daemon.js';
import { startRedis } from '../../fixtures/redis.js';
import { ask } from '../../fixtures/request.js';
import { installWorkers, many, spawnWorkers, terminate, workersOf } from './spawn-workers.js';

const host = 'hello.localhost';

t.test(
  'workers that start while the store is away, and empty when it is back, call no known domain unknown',
  async (t) => {
    const redis = await startRedis(t);
    if (!redis) return;
    const daemon = await spawnWorkers(t, await installWorkers(t, { cmdb: redis.url }), '--stop-apps');
    await redis.stop();
    const before = await workersOf(daemon);
    for (const worker of before) process.kill(worker, 'SIGKILL');
    await until(() => !before.some(isAlive) || undefined);
    // The port stays open: a request is answered as soon as one of the next workers serves.
    t.equal((await ask(daemon.port, host)).status, 503);
    const statuses = new Set<number>();
    const seen = until(async () => {
      const answers = await many(4, () => ask(daemon.port, host));
      for (const { status } of answers) statuses.add(status);
      return answers.every(({ status }) => status === 200) || undefined;
    });
    await redis.restart();
    await seen;
    for (const status of statuses) t.ok(status === 200 || status === 503, `${status}`);
    await until(async () => {
      const answers = await many(8, () => ask(daemon.port, 'nobody.localhost'));
      return answers.every(({ status }) => status === 404) || undefined;
    });
    t.equal(await terminate(daemon), 0);
  },
);
