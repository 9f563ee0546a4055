import { fetchAdmin } from '../fixtures/admin.js';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { loadConfig } from '../../src/config/load-config.js';
import { type Installation, install, isAlive, type Running, startDaemon, until } from '../fixtures/daemon.js';
import { type LoadResult, startLoad } from '../fixtures/load.js';
import { startRedis } from '../fixtures/redis.js';
import { ask, askIdentity, type InstanceView, instances } from '../fixtures/request.js';

const host = 'hello.localhost';

async function change({ daemon }: Running, installation: Installation, spec: Record<string, unknown>): Promise<void> {
  await installation.writeApp('hello', spec);
  await daemon.reload(await loadConfig(installation.file, process.env));
}

function unharmed(t: Test, { requests, failures, cold }: LoadResult): void {
  t.ok(requests > 100, `${requests} requests`);
  t.same(failures, [], 'no request failed');
  t.equal(cold, 0, 'none waited for a boot');
}

async function metric({ admin }: Running, pattern: RegExp): Promise<number> {
  const text = await (await fetchAdmin(`${admin}/metrics`)).text();
  return Number(pattern.exec(text)?.[1] ?? 0);
}

async function ready(running: Running, count: number): Promise<InstanceView[]> {
  return until(async () => {
    const all = await instances(running.admin, 'hello');
    return all.length === count && all.every(({ state }) => state === 'ready') ? all : undefined;
  });
}

t.test('under constant load instances of a short life follow each other, and no request notices', async (t) => {
  const running = await startDaemon(t, await install(t, {}, { hello: { maxLifetime: '2s' } }));
  const first = await askIdentity(running.port, host);
  const load = startLoad(t, running.port, host);
  await until(() => load.soFar.byInstance.size >= 4);
  unharmed(t, await load.stop());
  await until(() => !isAlive(first.pid));
  t.ok((await metric(running, /replacements_total\{reason="lifetime",result="ready"\} (\d+)/)) >= 3);
  t.match(
    running.log.find(({ msg }) => msg === 'replacing an instance'),
    { app: 'hello', replaces: first.instance, reason: 'lifetime' },
  );
});

t.test('two daemons on one Redis circulate the instances that both use, and no request notices', async (t) => {
  const redis = await startRedis(t);
  if (!redis) return;
  const installation = await install(t, { cmdb: redis.url }, { hello: { maxLifetime: '3s' } });
  const nodes = [await startDaemon(t, installation), await startDaemon(t, installation)] as const;
  for (const { port } of nodes) await askIdentity(port, host);
  const loads = nodes.map(({ port }) => startLoad(t, port, host));
  for (const load of loads) await until(() => load.soFar.byInstance.size >= 4);
  for (const load of loads) unharmed(t, await load.stop());
});

t.test('a changed app rolls under load, one instance at a time, and no request notices', async (t) => {
  const spec = { scale: { min: 2, max: 2 } };
  const installation = await install(t, {}, { hello: spec });
  const running = await startDaemon(t, installation);
  const before = await ready(running, 2);
  const load = startLoad(t, running.port, host);
  await until(() => load.soFar.requests > 100);
  let most = 0;
  await change(running, installation, { ...spec, env: { GREETING: 'changed' } });
  await until(async () => {
    const all = await instances(running.admin, 'hello');
    most = Math.max(most, all.length);
    return all.length === 2 && all.every(({ id, state }) => state === 'ready' && before.every((old) => old.id !== id));
  });
  await until(() => load.soFar.greeting === 'changed');
  unharmed(t, await load.stop());
  t.ok(most <= 3, `at most ${most} at once`);
});

t.test(
  'a revision that does not become ready leaves the old instance, is told, and gives way to one that does',
  async (t) => {
    const installation = await install(t);
    const running = await startDaemon(t, installation);
    const { instance } = await askIdentity(running.port, host);
    const load = startLoad(t, running.port, host);
    await change(running, installation, { env: { EXIT_AT_BOOT: 'not today', GREETING: 'broken' } });
    const told = await until(async () => {
      const all = (await instances(running.admin, 'hello')) as (InstanceView & {
        failedRevision?: { failures: number };
      })[];
      return all.find(({ failedRevision }) => (failedRevision?.failures ?? 0) >= 2);
    });
    t.match(told, {
      id: instance,
      state: 'ready',
      failedRevision: { code: 'boot_failed', message: /ended while it booted/ },
    });
    t.ok((await metric(running, /replacements_total\{reason="revision",result="failed"\} (\d+)/)) >= 2);
    t.match(
      running.log.find(({ msg }) => /the old instance stays/.test(String(msg))),
      { app: 'hello', replaces: instance, reason: 'revision', failures: 1 },
    );
    t.same([...load.soFar.byInstance.keys()], [instance]);
    await change(running, installation, { env: { GREETING: 'mended' } });
    await until(() => load.soFar.greeting === 'mended');
    unharmed(t, await load.stop());
    const [mended] = await ready(running, 1);
    t.equal((mended as { failedRevision?: unknown }).failedRevision, undefined);
  },
);

t.test('a revision that does not start takes an app down neither while it is used nor when it slept', async (t) => {
  for (const overlap of [true, false]) {
    await t.test(overlap ? 'beside the old instance' : 'in its place', async (t) => {
      const spec = { idleTtl: '1s', overlap, env: { GREETING: 'good' } };
      const installation = await install(t, {}, { hello: spec });
      const running = await startDaemon(t, installation);
      t.match(await askIdentity(running.port, host), { greeting: 'good' });
      await change(running, installation, { ...spec, env: { EXIT_AT_BOOT: 'typo', GREETING: 'bad' } });
      t.match(await askIdentity(running.port, host), { greeting: 'good' });
      for (const slept of [1, 2]) {
        await until(async () => (await instances(running.admin, 'hello')).length === 0);
        t.match(await askIdentity(running.port, host), { greeting: 'good' }, `slept ${slept}`);
      }
      const told = (await (await fetchAdmin(`${running.admin}/v1/apps`)).json()) as unknown[];
      t.match(told, [{ failedRevision: { code: 'boot_failed', message: /ended while it booted/ } }]);
      await change(running, installation, { ...spec, env: { GREETING: 'mended' } });
      await until(async () => ((await askIdentity(running.port, host)) as { greeting?: string }).greeting === 'mended');
    });
  }
});

t.test('a changed TTL, lifetime or queue replaces nothing', async (t) => {
  const installation = await install(t);
  const running = await startDaemon(t, installation);
  const { instance } = await askIdentity(running.port, host);
  await change(running, installation, { idleTtl: '9m', maxLifetime: '23h', queue: { max: 7 }, drainTimeout: '9s' });
  await change(running, installation, { idleTtl: '8m', domains: ['hello.localhost', 'other.localhost'] });
  t.equal((await askIdentity(running.port, 'other.localhost')).instance, instance);
  t.equal(running.log.filter(({ msg }) => msg === 'booting').length, 1);
});

t.test('an app that must not overlap never runs twice; requests wait for the next instance', async (t) => {
  const installation = await install(t, {}, {});
  const lock = join(installation.dir, 'lock');
  const spec = { overlap: false, maxLifetime: '2s', env: { LOCK_FILE: lock } };
  await installation.writeApp('hello', spec);
  const running = await startDaemon(t, installation);
  const load = startLoad(t, running.port, host);
  await until(() => load.soFar.byInstance.size >= 3);
  await change(running, installation, { ...spec, env: { ...spec.env, GREETING: 'changed' } });
  await until(() => load.soFar.greeting === 'changed');
  const { failures } = await load.stop();
  t.same(failures, []);
  t.notOk(
    running.log.some(({ msg }) => msg === 'the boot failed'),
    'none found the lock taken',
  );
  t.match(await readFile(lock, 'utf8'), /^\d+$/);
});

t.test(
  'scale.min instances are there without a request, and again after kill -9 and at the end of their lives',
  async (t) => {
    const running = await startDaemon(
      t,
      await install(t, {}, { hello: { scale: { min: 1, max: 1 }, maxLifetime: '12s' } }),
    );
    const [first] = await ready(running, 1);
    const { pid, instance } = await askIdentity(running.port, host);
    t.equal(instance, first?.id);
    t.equal((await ask(running.port, host)).headers['server-timing'], undefined, 'nobody had to wait');
    process.kill(pid, 'SIGKILL');
    const second = await until(async () => {
      const [next] = await ready(running, 1);
      return next && next.id !== instance ? next : undefined;
    });
    await until(async () => {
      const all = await instances(running.admin, 'hello');
      t.ok(
        all.some(({ state }) => state === 'ready'),
        'one is always ready',
      );
      return all.length === 1 && all[0]?.id !== second.id;
    });
  },
);
