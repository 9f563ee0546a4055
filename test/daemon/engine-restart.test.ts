import t from 'tap';
import { install, startDaemon, until } from '../fixtures/daemon.js';
import { useOwnDocker } from '../fixtures/docker.js';
import { dockerApp } from '../fixtures/docker-app.js';
import { ask, askIdentity, instances } from '../fixtures/request.js';

t.test(
  'a Docker Engine that restarts takes its containers along: the next request boots, nothing is left',
  async (t) => {
    const engine = await useOwnDocker(t);
    if (!engine) return;
    const { runtimes, app } = await dockerApp(t, engine);
    const { port, admin, log } = await startDaemon(t, await install(t, { runtimes }, { hello: app, idle: app }));
    const before = await askIdentity(port, 'hello.localhost');
    await askIdentity(port, 'idle.localhost');
    engine.restart();
    await until(() => log.find(({ msg }) => String(msg).startsWith('Docker Engine is back')));
    const after = await until(async () => {
      const answer = await ask(port, 'hello.localhost');
      if (answer.status === 200) return JSON.parse(answer.body) as { instance: string };
      t.match(answer, {
        status: /502|503|504/,
        headers: { 'x-fastcontainer-error': /upstream_unreachable|boot_failed/ },
      });
      return undefined;
    });
    t.not(after.instance, before.instance);
    t.match(
      await until(() =>
        log.find(({ msg, instance }) => msg === 'the instance ended by itself' && instance === before.instance),
      ),
      { app: 'hello', cause: /\w/ },
      'the log says what became of it',
    );
    await until(async () => (await instances(admin, 'idle')).length === 0);
    const left = await until(async () => {
      const containers = await engine.docker.listContainers({
        all: true,
        filters: { label: ['fastcontainer.instance'] },
      });
      return containers.length === 1 ? containers : undefined;
    });
    t.equal(left[0]?.Labels['fastcontainer.instance'], after.instance);
    t.match(await instances(admin, 'hello'), [{ id: after.instance, state: 'ready' }]);
  },
);
