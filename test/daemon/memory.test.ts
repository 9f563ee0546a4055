import t, { type Test } from 'tap';
import { install, quick, type Running, startDaemon, until } from '../fixtures/daemon.js';
import { hold } from '../fixtures/held-request.js';
import { metric } from '../fixtures/metric.js';
import { ask, instances } from '../fixtures/request.js';

const mebibyte = 1024 ** 2;

interface Host extends Running {
  /** What other programs of the machine take, in MiB. */
  others(taken: number): void;
  count(app: string): Promise<number>;
}

/** A machine of 1,000 MiB on which each instance takes 300, and a floor of 350. */
async function startHost(t: Test, apps: Record<string, Record<string, unknown>>): Promise<Host> {
  const log: Record<string, unknown>[] = [];
  let taken = 0;
  const count = (message: string) => log.filter(({ msg }) => msg === message).length;
  const readMemory = () => ({
    totalBytes: 1_000 * mebibyte,
    availableBytes: (1_000 - taken - 300 * (count('ready') - count('terminated'))) * mebibyte,
  });
  const installation = await install(t, { memory: { floor: '350m' } }, apps);
  const running = await startDaemon(t, installation, quick, { log, readMemory });
  return {
    ...running,
    others: (amount) => (taken = amount),
    count: async (app) => (await instances(running.admin, app)).length,
  };
}

const app = { idleTtl: '10m', limits: { memory: 'unlimited' } };

t.test('a boot that would not leave the floor first ends the instance that is idle for longest', async (t) => {
  const host = await startHost(t, { a: app, b: app, c: { ...app, limits: { memory: '300m' } } });
  t.equal((await ask(host.port, 'a.localhost')).status, 200);
  t.equal((await ask(host.port, 'b.localhost')).status, 200);
  t.equal((await ask(host.port, 'c.localhost')).status, 200);
  t.same([await host.count('a'), await host.count('b'), await host.count('c')], [0, 1, 1]);
  const order = host.log.flatMap(({ msg, app: name }) =>
    msg === 'booting' || msg === 'terminated' ? [`${msg} ${String(name)}`] : [],
  );
  t.same(order, ['booting a', 'booting b', 'terminated a', 'booting c'], 'it had ended before the new one was tried');
  t.match(
    host.log.find(({ msg }) => msg === 'terminated'),
    { app: 'a', reason: 'memory' },
  );
  t.equal(await metric(host.admin, 'fastcontainer_terminations_total{runtime="process",reason="memory"}'), 1);
  t.equal(await metric(host.admin, 'fastcontainer_memory_waits_total{result="fits"}'), 1);
});

t.test('an instance in use is never ended for memory: the boot fails with its code and says why', async (t) => {
  const host = await startHost(t, { a: app, b: app, c: { ...app, bootTimeout: '10s' } });
  host.others(100);
  const held = ['a.localhost', 'b.localhost'].map((name) => hold(host.port, name));
  t.teardown(() => held.forEach((request) => request.end()));
  t.same(await Promise.all(held.map(({ status }) => status)), [200, 200]);
  const answer = await ask(host.port, 'c.localhost');
  t.match(answer, { status: 503, headers: { 'x-fastcontainer-error': 'boot_failed', 'retry-after': '10' } });
  t.notMatch(answer.body, /memory/, 'the log says why, not the answer');
  t.same([await host.count('a'), await host.count('b'), await host.count('c')], [1, 1, 0]);
  t.ok(host.log.find(({ msg, app: name }) => name === 'c' && /not enough memory/.test(String(msg))));
  t.equal(await metric(host.admin, 'fastcontainer_memory_waits_total{result="refused"}'), 1);
  held[0]?.end();
  await until(async () => (await ask(host.port, 'c.localhost')).status === 200);
  const counts = [await host.count('a'), await host.count('b'), await host.count('c')];
  t.same(counts, [0, 1, 1], 'once one of them is idle, it makes room');
});

t.test('where the machine runs short idle instances end without any boot, but for scale.min', async (t) => {
  const host = await startHost(t, { kept: { ...app, scale: { min: 1, max: 1 } }, idle: app });
  t.equal((await ask(host.port, 'kept.localhost')).status, 200);
  t.equal((await ask(host.port, 'idle.localhost')).status, 200);
  host.others(900);
  await until(async () => (await host.count('idle')) === 0);
  t.ok(host.log.find(({ msg }) => msg === 'available memory is below memory.floor'));
  host.others(0);
  await until(() => host.log.find(({ msg }) => msg === 'available memory is above memory.floor again'));
  t.equal(await host.count('kept'), 1);
});

t.test('an app that is larger than the machine is refused at once and takes nobody with it', async (t) => {
  const host = await startHost(t, { a: app, huge: { ...app, limits: { memory: '900m' } } });
  t.equal((await ask(host.port, 'a.localhost')).status, 200);
  t.match(await ask(host.port, 'huge.localhost'), { status: 503, headers: { 'x-fastcontainer-error': 'boot_failed' } });
  t.equal(await host.count('a'), 1);
});

t.test('boots that no request asks for leave the floor as well', async (t) => {
  const kept = { ...app, scale: { min: 1, max: 1 }, bootTimeout: '1s', limits: { memory: '300m' } };
  const host = await startHost(t, { a: kept, b: kept, c: kept, d: kept });
  const refusals = () =>
    host.log.filter(({ msg, floorBytes }) => floorBytes !== undefined && /not enough memory/.test(String(msg)));
  await until(() => refusals()[0]);
  const isReady = async (name: string) => (await instances(host.admin, name)).some(({ state }) => state === 'ready');
  const ready = async () => (await Promise.all(['a', 'b', 'c', 'd'].map(isReady))).filter(Boolean).length;
  // A boot may take longer than its time on a slow machine: then it comes again.
  await until(async () => (await ready()) === 2);
  t.equal(host.log.filter(({ msg }) => msg === 'ready').length, 2, 'and there never were more');
});
