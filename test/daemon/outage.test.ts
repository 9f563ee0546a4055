import { fetchAdmin } from '../fixtures/admin.js';
import t from 'tap';
import { install, isAlive, quick, startDaemon, until } from '../fixtures/daemon.js';
import { startRedis } from '../fixtures/redis.js';
import { ask, askIdentity, instances } from '../fixtures/request.js';

const unavailable = { status: 503, headers: { 'x-fastcontainer-error': 'cmdb_unavailable', 'retry-after': /^\d+$/ } };

t.test('a store that is down at the start is waited for, and /readyz says why', async (t) => {
  const redis = await startRedis(t);
  if (!redis) return;
  await redis.stop();
  const { port, admin, log } = await startDaemon(t, await install(t, { cmdb: redis.url }));
  const ready = await fetchAdmin(`${admin}/readyz`);
  t.equal(ready.status, 503);
  t.match(await ready.json(), { checks: { cmdb: { ok: false, detail: /\w/ }, apps: { ok: false } } });
  t.match(await ask(port, 'hello.localhost'), unavailable);
  t.ok(
    log.some(({ msg, level }) => level === 40 && /cannot be reached/.test(String(msg))),
    'the log says so',
  );
  await redis.restart();
  await until(async () => (await fetchAdmin(`${admin}/readyz`)).status === 200);
  t.equal((await ask(port, 'hello.localhost')).status, 200);
});

t.test('an empty store that comes up after the daemon says 404 to nobody before it has the apps', async (t) => {
  const redis = await startRedis(t);
  if (!redis) return;
  await redis.stop();
  const { port } = await startDaemon(t, await install(t, { cmdb: redis.url }));
  const statuses = new Set<number>();
  const seen = until(async () => {
    const { status } = await ask(port, 'hello.localhost');
    statuses.add(status);
    return status === 200 || undefined;
  });
  await redis.restart();
  await seen;
  for (const status of statuses) t.ok(status === 200 || status === 503, `${status}`);
  await until(async () => (await ask(port, 'nobody.localhost')).status === 404 || undefined);
});

t.test('while the store is away known apps answer, and what needs a boot is refused', async (t) => {
  const redis = await startRedis(t);
  if (!redis) return;
  const installation = await install(t, { cmdb: redis.url }, { hello: {}, sleeping: {} });
  const { port } = await startDaemon(t, installation);
  const { pid } = await askIdentity(port, 'hello.localhost');
  redis.process.kill('SIGSTOP');
  t.match(await askIdentity(port, 'hello.localhost'), { pid });
  t.match(await ask(port, 'sleeping.localhost'), unavailable);
  t.match(await askIdentity(port, 'hello.localhost'), { pid });
  redis.process.kill('SIGCONT');
  await until(async () => (await ask(port, 'sleeping.localhost')).status === 200);
  t.ok(isAlive(pid));
});

t.test('an idle instance that nobody used when the store came back empty is used again, not doubled', async (t) => {
  const redis = await startRedis(t);
  if (!redis) return;
  // Given up by its user after half of it.
  const settings = { overlap: false, idleTtl: '14s' };
  const { port, admin, log } = await startDaemon(t, await install(t, { cmdb: redis.url }, { hello: settings }));
  const { pid } = await askIdentity(port, 'hello.localhost');
  await until(async () => (await instances(admin, 'hello'))[0]?.users.length === 0 || undefined);
  await redis.restart();
  await until(() => log.find(({ msg }) => /another store than before/.test(String(msg))));
  const after = await until(() => askIdentity(port, 'hello.localhost').catch(() => undefined));
  t.equal(after.pid, pid);
  t.ok(log.some(({ msg }) => /the CMDB had lost is used again/.test(String(msg))));
});

t.test(
  'while the store is away an app that is asked rarely is answered too, and ends idle once it is back',
  async (t) => {
    const redis = await startRedis(t);
    if (!redis) return;
    const installation = await install(t, { cmdb: redis.url }, { hello: { idleTtl: '14s' } });
    const { port, log } = await startDaemon(t, installation);
    const { pid } = await askIdentity(port, 'hello.localhost');
    redis.process.kill('SIGSTOP');
    await until(() => log.find(({ msg }) => /CMDB cannot be reached/.test(String(msg))));
    // By then it would have been released, after half its idle TTL, and not be known any more.
    await new Promise((resolve) => setTimeout(resolve, 3_000));
    t.match(await askIdentity(port, 'hello.localhost'), { pid });
    redis.process.kill('SIGCONT');
    await until(() => !isAlive(pid) || undefined);
  },
);

t.test('a store that comes back empty gets its apps again, and running containers are used, not doubled', async (t) => {
  const redis = await startRedis(t);
  if (!redis) return;
  const { port, admin, log } = await startDaemon(t, await install(t, { cmdb: redis.url }));
  const { pid } = await askIdentity(port, 'hello.localhost');
  await redis.restart();
  await until(async () => {
    const answer = await ask(port, 'hello.localhost');
    if (answer.status === 404) t.fail('an app must not be unknown because the store was replaced');
    return answer.status === 200 ? answer : undefined;
  });
  await until(() => log.find(({ msg }) => /another store than before/.test(String(msg))));
  await until(async () => {
    const all = await instances(admin, 'hello').catch(() => []);
    return all.length === 1 && all[0]?.state === 'ready';
  });
  const after = await until(() => askIdentity(port, 'hello.localhost').catch(() => undefined));
  t.ok(after.pid === pid || !isAlive(pid), 'not two of them');
});

t.test(
  'while a store that came back empty may not know every app yet, an unknown domain is 503, and then 404',
  async (t) => {
    const redis = await startRedis(t);
    if (!redis) return;
    const timing = { ...quick, session: { ...quick.session, ttlMs: 3_000 } };
    const { port, log } = await startDaemon(t, await install(t, { cmdb: redis.url }), timing);
    t.equal((await ask(port, 'nobody.localhost')).status, 404);
    await redis.restart();
    await until(() => log.find(({ msg }) => /another store than before/.test(String(msg))));
    t.match(await ask(port, 'nobody.localhost'), unavailable);
    await until(async () => {
      const answer = await ask(port, 'nobody.localhost');
      if (answer.status !== 404) t.match(answer, unavailable);
      return answer.status === 404 || undefined;
    });
    t.equal((await ask(port, 'hello.localhost')).status, 200);
  },
);
