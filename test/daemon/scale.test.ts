import t, { type Test } from 'tap';
import { install, type Running, startDaemon, until, webApp } from '../fixtures/daemon.js';
import { hold, holdAsClients, holdMany, type HeldRequest } from '../fixtures/held-request.js';
import { metric } from '../fixtures/metric.js';
import { startRedis } from '../fixtures/redis.js';
import { ask, askIdentity, instances, type InstanceView } from '../fixtures/request.js';

const hello = 'hello.localhost';

async function start(
  t: Test,
  app: Record<string, unknown>,
  main: Record<string, unknown> = { boot: { concurrency: 4 } },
): Promise<Running> {
  return startDaemon(t, await install(t, main, { hello: app }));
}

/** Those ready, the oldest first. */
async function ready({ admin }: Pick<Running, 'admin'>): Promise<InstanceView[]> {
  const all = (await instances(admin, 'hello')).filter(({ state }) => state === 'ready');
  return all.toSorted((a, b) => (String(a.readyAt) < String(b.readyAt) ? -1 : 1));
}

async function inflight(running: Pick<Running, 'admin'>): Promise<number[]> {
  return (await ready(running)).map((instance) => instance.inflight);
}

const queued = (running: Pick<Running, 'admin'>) => metric(running.admin, 'fastcontainer_queue_length{app="hello"}');
const scaleOuts = (result: string) => `fastcontainer_scale_outs_total{runtime="process",result="${result}"}`;
const booted = ({ log }: Pick<Running, 'log'>) => log.filter(({ msg }) => msg === 'booting').length;

function endAll(held: readonly HeldRequest[]): void {
  for (const request of held) request.end();
}

t.test('a herd boots as many instances as its number needs, at most scale.max', async (t) => {
  const app = { scale: { max: 3 }, concurrency: { target: 10, max: 20 }, env: { BOOT_DELAY_MS: '500' } };
  const running = await start(t, app);
  const held = holdMany(40, running.port, hello);
  t.teardown(() => endAll(held));
  t.same([...new Set(await Promise.all(held.map(({ status }) => status)))], [200]);
  t.equal(booted(running), 3);
  t.equal(
    (await inflight(running)).reduce((sum, count) => sum + count, 0),
    40,
  );
  t.ok((await inflight(running)).every((count) => count <= 20));
  await until(async () => (await metric(running.admin, scaleOuts('ready'))) === 2);
});

t.test('above the target a second instance is booted while no request waits for it', async (t) => {
  // The second one never becomes ready: a request that waited for it would not be answered.
  const once = 'mkdir "$0/first" 2>/dev/null && exec "$1" "$2"; exec sleep 60';
  const { dir } = await install(t, {}, {});
  const running = await start(t, {
    command: ['/bin/sh', '-c', once, dir, process.execPath, webApp],
    scale: { max: 4 },
    concurrency: { target: 2, max: 10 },
  });
  const held: HeldRequest[] = [];
  t.teardown(() => endAll(held));
  for (const instancesWanted of [1, 1, 2, 2, 3]) {
    const next = hold(running.port, hello);
    held.push(next);
    t.equal(await next.status, 200);
    await until(() => booted(running) === instancesWanted);
  }
  t.equal((await ask(running.port, hello)).status, 200);
  t.same(await inflight(running), [5], 'one does it all');
  t.equal(booted(running), 3, 'what boots counts with its target');
});

t.test('when load falls the surplus instances end after the idle TTL, and the oldest stays', async (t) => {
  const running = await start(t, { scale: { max: 3 }, concurrency: { target: 1, max: 1 }, idleTtl: '2s' });
  const held = holdAsClients(3, running.port, hello);
  t.teardown(() => endAll(held));
  t.same(await Promise.all(held.map(({ status }) => status)), [200, 200, 200]);
  const three = await ready(running);
  t.equal(three.length, 3);
  endAll(held);
  await until(async () => (await inflight(running)).every((count) => count === 0));
  const answered = new Set<string>();
  await until(async () => {
    answered.add((await askIdentity(running.port, hello)).instance);
    return (await instances(running.admin, 'hello')).length === 1;
  });
  t.same([...answered], [three[0]?.id], 'the oldest does what one can do');
  t.equal((await ready(running))[0]?.id, three[0]?.id);
  t.equal(booted(running), 3);
});

t.test('at max requests wait and are served in their order', async (t) => {
  const running = await start(t, { concurrency: { target: 1, max: 1 } });
  const first = hold(running.port, hello);
  t.equal(await first.status, 200);
  const order: number[] = [];
  const waiting: Promise<unknown>[] = [];
  for (let number = 1; number <= 5; number += 1) {
    waiting.push(ask(running.port, hello).then(({ status }) => order.push(status === 200 ? number : -1)));
    await until(async () => (await queued(running)) === number);
  }
  t.same(order, []);
  first.end();
  await Promise.all(waiting);
  t.same(order, [1, 2, 3, 4, 5]);
  t.equal(booted(running), 1);
});

t.test('a scale-out that fails refuses nobody', async (t) => {
  const once = 'mkdir "$0/first" 2>/dev/null && exec "$1" "$2"; echo no second one >&2; exit 7';
  const { dir } = await install(t, {}, {});
  const running = await start(t, {
    command: ['/bin/sh', '-c', once, dir, process.execPath, webApp],
    scale: { max: 3 },
    concurrency: { target: 1, max: 2 },
  });
  const held = [hold(running.port, hello)];
  t.teardown(() => endAll(held));
  t.equal(await held[0]?.status, 200);
  held.push(hold(running.port, hello));
  t.equal(await held[1]?.status, 200);
  await until(async () => (await metric(running.admin, scaleOuts('failed'))) > 0);
  const waiting = [ask(running.port, hello), ask(running.port, hello)];
  await until(async () => (await queued(running)) === 2);
  endAll(held);
  t.same(
    (await Promise.all(waiting)).map(({ status }) => status),
    [200, 200],
  );
});

t.test('two daemons on one Redis share the max of an instance', async (t) => {
  const redis = await startRedis(t);
  if (!redis) return;
  const app = { concurrency: { target: 5, max: 5 }, queue: { timeout: '60s' } };
  const installation = await install(t, { cmdb: redis.url }, { hello: app });
  const one = await startDaemon(t, installation);
  const all = holdAsClients(5, one.port, hello);
  t.teardown(() => endAll(all));
  t.same(await Promise.all(all.map(({ status }) => status)), [200, 200, 200, 200, 200], 'alone it has all of it');
  endAll(all);
  await until(async () => (await inflight(one))[0] === 0);
  const two = await startDaemon(t, installation);
  t.equal((await ask(two.port, hello)).status, 200);
  await until(async () => (await ready(one))[0]?.users.length === 2);
  const held = [holdAsClients(5, one.port, hello), holdAsClients(5, two.port, hello)].flat();
  t.teardown(() => endAll(held));
  await until(async () => (await queued(one)) + (await queued(two)) === 5);
  const counts = [(await inflight(one))[0] ?? 0, (await inflight(two))[0] ?? 0];
  t.same(counts.toSorted(), [2, 3], 'together as many as it may have');
  endAll(held);
  await until(async () => (await inflight(one))[0] === 0 && (await inflight(two))[0] === 0);
});
