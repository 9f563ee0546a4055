import { join } from 'node:path';
import t, { type Test } from 'tap';
import { install, isAlive, quick, type Running, startDaemon, until } from '../fixtures/daemon.js';
import { startRedis } from '../fixtures/redis.js';
import { askIdentity, instances } from '../fixtures/request.js';
import { testKey } from '../fixtures/signer.js';

const host = 'hello.localhost';

/** What two daemons of one machine are started from: one store, one `node.host`, two state directories. */
async function useTwo(t: Test, app: Record<string, unknown> = {}) {
  const redis = await startRedis(t);
  if (!redis) return undefined;
  const main = { cmdb: { url: redis.url, name: 'two', signingKey: testKey }, node: { host: 'web1' } };
  const a = await install(t, main, { hello: app });
  const b = await install(t, main, { hello: app });
  return { a, b };
}

function saidOf(running: Running, id: string, msg: string): boolean {
  return running.log.some((line) => line['msg'] === msg && line['instance'] === id);
}

t.test('a second daemon with another state directory under one node.host is refused, with both named', async (t) => {
  const two = await useTwo(t);
  if (!two) return;
  const first = await startDaemon(t, two.a);
  const paths = [two.b, two.a].map(({ dir }) => join(dir, 'state'));
  await t.rejects(startDaemon(t, two.b), {
    message: new RegExp(
      `process ${process.pid}\\) has the same node.host, 'web1'.* process apps in ${paths[1]}.*, this one in ${paths[0]}`,
    ),
  });
  t.ok((await askIdentity(first.port, host)).pid, 'the first one goes on');
  await startDaemon(t, two.a);
  t.pass('another one with the same directory is welcome');
});

t.test('a daemon neither ends what runs in another directory nor says that it did', async (t) => {
  const two = await useTwo(t, { idleTtl: '500ms' });
  if (!two) return;
  const first = await startDaemon(t, two.a, quick, { stopApps: false });
  const theirs = await askIdentity(first.port, host);
  await first.daemon.close();
  t.ok(isAlive(theirs.pid));

  const second = await startDaemon(t, two.b);
  await until(
    async () => (await instances(second.admin, 'hello')).some(({ state }) => state === 'draining') || undefined,
  );
  const own = await askIdentity(second.port, host);
  t.not(own.pid, theirs.pid);
  await until(() => saidOf(second, own.instance, 'terminated') || undefined);
  t.ok(isAlive(theirs.pid), 'what it cannot see runs on');
  t.notOk(saidOf(second, theirs.instance, 'terminated'));
  t.match(await instances(second.admin, 'hello'), [{ id: theirs.instance, state: 'draining' }]);
  await second.daemon.close();

  const again = await startDaemon(t, two.a);
  await until(() => saidOf(again, theirs.instance, 'terminated') || undefined);
  t.notOk(isAlive(theirs.pid), 'who sees it ends it');
  t.same(await instances(again.admin, 'hello'), []);
});

t.test('what ran in another directory and answers no more is given up, and another instance serves', async (t) => {
  const two = await useTwo(t);
  if (!two) return;
  const first = await startDaemon(t, two.a, quick, { stopApps: false });
  const theirs = await askIdentity(first.port, host);
  await first.daemon.close();
  const second = await startDaemon(t, two.b);
  t.match(await askIdentity(second.port, host), { pid: theirs.pid }, 'while it answers it is used');
  process.kill(theirs.pid, 'SIGKILL');
  const own = await until(() => askIdentity(second.port, host).catch(() => undefined));
  t.not(own.pid, theirs.pid);
  t.match(await instances(second.admin, 'hello'), [{ id: own.instance, state: 'ready' }]);
});
