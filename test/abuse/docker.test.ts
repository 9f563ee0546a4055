import t from 'tap';
import { install, startDaemon, until } from '../fixtures/daemon.js';
import { useDocker } from '../fixtures/docker.js';
import { dockerApp } from '../fixtures/docker-app.js';
import { ask, instances } from '../fixtures/request.js';

t.test('a Docker container killed in the middle of requests is replaced, and each GET is answered', async (t) => {
  const engine = await useDocker(t);
  if (!engine) return;
  const { runtimes, app } = await dockerApp(t, engine);
  const { port, admin } = await startDaemon(t, await install(t, { runtimes }, { hello: app }));
  t.equal((await ask(port, 'hello.localhost')).status, 200);
  const answers = Promise.all(Array.from({ length: 20 }, () => ask(port, 'hello.localhost', '/slow?ms=4000')));
  const upload = ask(port, 'hello.localhost', '/hang', { method: 'POST', body: 'once' });
  const [running] = await until(async () => {
    const all = await instances(admin, 'hello');
    return all[0]?.inflight === 21 ? all : undefined;
  });
  const [container] = await engine.docker.listContainers({
    filters: { label: [`fastcontainer.instance=${running?.id}`] },
  });
  t.ok(container);
  await engine.docker.getContainer(container?.Id as string).kill({ signal: 'KILL' });
  t.same(new Set((await answers).map(({ status }) => status)), new Set([200]));
  t.match(
    await upload,
    { status: 502, headers: { 'x-fastcontainer-error': 'upstream_reset' } },
    'a POST is not repeated',
  );
  await until(async () => (await instances(admin, 'hello')).every(({ inflight }) => inflight === 0));
});

t.test('a Docker container that never listens ends in boot_timeout and is removed', async (t) => {
  const engine = await useDocker(t);
  if (!engine) return;
  const { runtimes, app } = await dockerApp(t, engine);
  const deaf = { ...app, env: { BOOT_DELAY_MS: '600000' }, bootTimeout: '3s', stopTimeout: '1s' };
  const { port, admin } = await startDaemon(t, await install(t, { runtimes }, { deaf }));
  t.match(await ask(port, 'deaf.localhost'), { status: 504, headers: { 'x-fastcontainer-error': 'boot_timeout' } });
  await until(async () => (await instances(admin, 'deaf')).length === 0);
  // Where the engine started it only after the limit, reconcile finds it.
  const containers = () => engine.docker.listContainers({ all: true, filters: { label: ['fastcontainer.app=deaf'] } });
  await until(async () => (await containers()).length === 0);
});
