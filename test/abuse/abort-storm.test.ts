import { fetchAdmin } from '../fixtures/admin.js';
import { once } from 'node:events';
import { resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { aborts } from '../../scripts/load/aborts.js';
import { pick, seeded } from '../../scripts/load/random.js';
import { newTrace } from '../../scripts/load/trace.js';
import { install, spawnDaemon, until } from '../fixtures/daemon.js';
import { ask, type InstanceView } from '../fixtures/request.js';
import { metric, socketsOf } from '../fixtures/vital-signs.js';

const clients = 10_000;
const atOnce = 200;
const seed = Number(process.env['FASTCONTAINER_TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 32));
const command = [process.execPath, resolve('dist/scripts/load/app.js'), 'storm'];

t.test(
  '10,000 clients that vanish at a random moment leave no socket, no count, no waiter and no instance',
  async (t) => {
    t.comment(`seed ${seed}`);
    const installation = await install(
      t,
      {},
      {
        // One that runs, one that falls asleep again and again, one with a single place, one that never becomes ready.
        awake: { command },
        drowsy: { command, idleTtl: '300ms' },
        narrow: { command, concurrency: { target: 1, max: 1 }, queue: { max: 50, timeout: '5s' } },
        deaf: { env: { BOOT_DELAY_MS: '600000' }, bootTimeout: '1s' },
      },
    );
    const { child, port, admin, log } = await spawnDaemon(t, installation, '--stop-apps');
    const pid = child.pid as number;
    for (const app of ['awake', 'drowsy', 'narrow']) t.equal((await ask(port, `${app}.localhost`)).status, 200);
    const sockets = socketsOf(pid);
    const random = seeded(seed);
    const target = { port, random, nextApp: () => pick(random, ['awake', 'drowsy', 'narrow', 'deaf']) };
    const storm = aborts();
    let left = clients;
    const one = async () => {
      while (left-- > 0) await storm.once(target, newTrace(storm.kind));
    };
    await Promise.all(Array.from({ length: atOnce }, one));
    t.equal(child.exitCode ?? child.signalCode, null, JSON.stringify(log.slice(-3)));
    const instances = async () => (await (await fetchAdmin(`${admin}/v1/instances`)).json()) as InstanceView[];
    await until(async () => (await instances()).every(({ inflight }) => inflight === 0));
    await until(async () => (await metric(admin, /^fastcontainer_queue_length\b/)) === 0);
    // Those of fetch, kept for another question, and of instances that were asked a moment ago.
    await until(() => socketsOf(pid) <= sockets + 2);
    for (const app of ['awake', 'drowsy']) t.equal((await ask(port, `${app}.localhost`)).status, 200);
    await until(async () => (await ask(port, 'narrow.localhost')).status === 200);
    t.equal((await ask(port, 'deaf.localhost')).status >= 500, true);
    t.equal(child.exitCode, null);
    await sleep(1_000);
    child.kill('SIGTERM');
    t.same(await once(child, 'exit'), [0, null]);
  },
);
