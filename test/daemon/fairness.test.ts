import { Agent } from 'node:http';
import t, { type Test } from 'tap';
import { install, type Running, startDaemon, until } from '../fixtures/daemon.js';
import { holdMany } from '../fixtures/held-request.js';
import { metric } from '../fixtures/metric.js';
import { ask, askIdentity } from '../fixtures/request.js';

const greedy = 'greedy.localhost';

/** Boots of an app in the order of the log. */
const boots = ({ log }: Running) => log.filter(({ msg }) => msg === 'booting').map(({ app }) => String(app));

function herd(t: Test, count: number, port: number, host: string): Promise<number[]> {
  const agent = new Agent({ maxSockets: Infinity });
  t.teardown(() => agent.destroy());
  return Promise.all(Array.from({ length: count }, async () => (await ask(port, host, '/', { agent })).status));
}

t.test('the herd, full queue and crash loop of some apps neither fail nor hold up another', async (t) => {
  const crashing = Array.from({ length: 6 }, (_, index) => `crashing${index}`);
  const installation = await install(
    t,
    { boot: { concurrency: 2 } },
    {
      warm: {},
      cold: { idleTtl: '1h' },
      // Its instances never become ready, and more are wanted than there are permits.
      greedy: {
        command: ['/bin/sh', '-c', 'exec sleep 600'],
        bootTimeout: '10m',
        scale: { max: 8 },
        concurrency: { target: 1, max: 1 },
        queue: { max: 50, timeout: '10m' },
      },
      ...Object.fromEntries(crashing.map((name) => [name, { env: { EXIT_AT_BOOT: 'on purpose' } }])),
    },
  );
  const running = await startDaemon(t, installation);
  const { port } = running;
  const { pid } = await askIdentity(port, 'warm.localhost');
  const waiting = holdMany(50, port, greedy);
  t.teardown(() => waiting.forEach((request) => request.end()));
  await until(async () => (await metric(running.admin, 'fastcontainer_queue_length{app="greedy"}')) === 50);
  const full = await ask(port, greedy);
  t.match(full, { status: 503, headers: { 'x-fastcontainer-error': 'queue_full' } });
  const crashed = Promise.all(crashing.map((name) => herd(t, 20, port, `${name}.localhost`)));
  const refused = herd(t, 200, port, greedy);
  t.equal((await askIdentity(port, 'warm.localhost')).pid, pid, 'what runs goes on answering');
  t.same([...new Set(await herd(t, 100, port, 'warm.localhost'))], [200]);
  t.equal((await ask(port, 'cold.localhost')).status, 200, 'what sleeps boots');
  t.same([...new Set((await crashed).flat())], [503], 'a boot that fails is answered honestly');
  t.same([...new Set(await refused)], [503]);
  const started = boots(running);
  t.equal(started.filter((app) => app === 'greedy').length, 1, 'one permit is not for further instances of an app');
  t.equal(started.filter((app) => app === 'cold').length, 1);
});

t.test('requests that wait are bounded over all apps, and one app leaves room for the others', async (t) => {
  const sleepy = {
    command: ['/bin/sh', '-c', 'exec sleep 600'],
    bootTimeout: '10m',
    queue: { max: 1_000, timeout: '10m' },
  };
  const installation = await install(t, { boot: { maxWaiting: 20 } }, { greedy: sleepy, other: sleepy });
  const { port, admin } = await startDaemon(t, installation);
  const length = (app: string) => metric(admin, `fastcontainer_queue_length{app="${app}"}`);
  const held = holdMany(30, port, greedy);
  t.teardown(() => held.forEach((request) => request.end()));
  await until(async () => (await length('greedy')) === 10);
  await until(async () => (await metric(admin, 'fastcontainer_errors_total{app="greedy",error="queue_full"}')) === 20);
  const others = holdMany(30, port, 'other.localhost');
  t.teardown(() => others.forEach((request) => request.end()));
  await until(async () => (await length('other')) === 5);
  await until(async () => (await metric(admin, 'fastcontainer_errors_total{app="other",error="queue_full"}')) === 25);
  t.equal(await length('greedy'), 10);
});
