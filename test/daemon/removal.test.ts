import { once } from 'node:events';
import t from 'tap';
import { install, isAlive, quick, spawnDaemon, startDaemon, until } from '../fixtures/daemon.js';
import { askIdentity, instances } from '../fixtures/request.js';

const host = 'hello.localhost';

t.test('an app that was removed just before its daemon stopped is ended with it', async (t) => {
  const installation = await install(t, {}, { hello: {}, other: {} });
  const { child, port, log } = await spawnDaemon(t, installation);
  const { pid } = await askIdentity(port, host);
  await installation.writeApp('hello', undefined);
  await until(() => log.some(({ msg }) => String(msg).startsWith('configuration reloaded')) || undefined);
  child.kill('SIGTERM');
  await once(child, 'exit');
  t.notOk(isAlive(pid));
  const next = await startDaemon(t, installation);
  t.same(await instances(next.admin, 'hello').catch(() => []), []);
});

t.test('what a killed daemon left of an app that was removed is found and ended at the next start', async (t) => {
  const installation = await install(t, {}, { hello: {}, other: {} });
  const { child, port } = await spawnDaemon(t, installation);
  const { pid } = await askIdentity(port, host);
  child.kill('SIGKILL');
  await once(child, 'exit');
  await installation.writeApp('hello', undefined);
  t.ok(isAlive(pid));
  await startDaemon(t, installation, quick);
  await until(() => !isAlive(pid) || undefined);
});
