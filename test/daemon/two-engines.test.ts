import { join } from 'node:path';
import t, { type Test } from 'tap';
import { install, quick, startDaemon, until } from '../fixtures/daemon.js';
import { dockerApp } from '../fixtures/docker-app.js';
import { type TestDocker, useDocker, useOwnDocker } from '../fixtures/docker.js';
import { startRedis } from '../fixtures/redis.js';
import { askIdentity, instances } from '../fixtures/request.js';
import { testKey } from '../fixtures/signer.js';

const host = 'hello.localhost';

t.test('two daemons of one machine with an engine each', async (t) => {
  const [first, second] = [await useDocker(t), await useOwnDocker(t)];
  if (!first || !second) return;

  t.test('the second one under one node.host is refused, with both engines named', async (t) => {
    const installed = await installations(t, first, second);
    if (!installed) return;
    const running = await startDaemon(t, installed[0]);
    await askIdentity(running.port, host);
    await t.rejects(startDaemon(t, installed[1]), {
      message: `process ${process.pid}) has the same node.host, 'web1', and the same store, but runs its docker apps in ${first.socketPath}, this one in ${second.socketPath}`,
    });
    t.ok((await askIdentity(running.port, host)).instance, 'the first one goes on');
    await startDaemon(t, installed[0]);
    t.pass('another one with the same engine is welcome');
  });

  t.test("one whose engine is away starts, and leaves the other's alone", async (t) => {
    const away = { ...second, socketPath: join(t.testdir(), 'no-engine.sock') };
    const installed = await installations(t, first, away);
    if (!installed) return;
    const running = await startDaemon(t, installed[0]);
    const { instance } = await askIdentity(running.port, host);
    const blind = await startDaemon(t, installed[1], { ...quick, reconcilePeriodMs: 300 });
    await until(() => blind.log.some(({ err }) => /no-engine.sock/.test(JSON.stringify(err ?? ''))) || undefined);
    t.match(await instances(running.admin, 'hello'), [{ id: instance, state: 'ready' }]);
    t.match(await askIdentity(running.port, host), { instance });
  });
});

/** One store and state directory, two engines. */
async function installations(t: Test, a: TestDocker, b: TestDocker) {
  const redis = await startRedis(t);
  if (!redis) return undefined;
  const stateDir = join(t.testdir(), 'state');
  const made = [];
  for (const engine of [a, b]) {
    const { runtimes, app } = await dockerApp(t, { ...engine, docker: a.docker });
    const docker = { ...(runtimes['docker'] as object), socketPath: engine.socketPath };
    const main = {
      cmdb: { url: redis.url, name: 'two', signingKey: testKey },
      node: { host: 'web1' },
      runtimes: { docker, process: { stateDir, scratchDir: join(stateDir, 'scratch') } },
    };
    made.push(await install(t, main, { hello: app }));
  }
  return made as [Awaited<ReturnType<typeof install>>, Awaited<ReturnType<typeof install>>];
}
