import { randomBytes } from 'node:crypto';
import { join, resolve } from 'node:path';
import t from 'tap';
import { nothing, removeNetwork, tracesOf, useContainers } from '../runtime/oci/open-containers.js';
import { install, quick, startDaemon, until } from '../fixtures/daemon.js';
import { portRange } from '../fixtures/port-range.js';
import { ask } from '../fixtures/request.js';

t.test('a request boots a container, which answers, falls idle and leaves nothing', async (t) => {
  const containers = await useContainers(t);
  if (!containers) return;
  const { subnet } = containers.options;
  const bridge = `fct${randomBytes(4).toString('hex')}`;
  t.teardown(() => removeNetwork(bridge, subnet));
  const { from, to } = portRange(t);
  const hello = {
    runtime: 'oci',
    command: ['node', '/apps/web.mjs'],
    user: 'auto',
    mounts: [{ source: resolve('test/fixtures/apps'), target: '/apps', readOnly: true }],
    env: { GREETING: 'from inside' },
    idleTtl: '1s',
  };
  const lost = { ...hello, command: ['node', '/apps/none.mjs'], domains: ['lost.localhost'], bootTimeout: '1m' };
  const main = {
    mounts: { roots: [resolve('.')] },
    runtimes: {
      process: { ports: `${from}-${to}`, scratchDir: containers.shared },
      oci: { bridge, subnet, sandboxes: 0 },
    },
  };
  const installation = await install(t, main, { hello, lost });
  const { port, log } = await startDaemon(t, installation, quick);

  const answer = await ask(port, 'hello.localhost');
  t.equal(answer.status, 200, answer.body);
  t.match(JSON.parse(answer.body), { greeting: 'from inside', headers: { host: 'hello.localhost' } });
  const refused = await ask(port, 'lost.localhost');
  t.equal(refused.headers['x-fastcontainer-error'], 'boot_failed');
  t.ok(
    log.some((entry) => JSON.stringify(entry).includes("Cannot find module '/apps/none.mjs'")),
    'its last words',
  );

  const stateDir = join(installation.dir, 'state', 'oci');
  await until(() => Object.values(tracesOf(stateDir, bridge)).every(({ length }) => length === 0) || undefined);
  t.same(tracesOf(stateDir, bridge), nothing);
  t.equal((await ask(port, 'hello.localhost')).status, 200, 'and boots again');
});
