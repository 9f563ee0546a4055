import { randomBytes } from 'node:crypto';
import { resolve } from 'node:path';
import t from 'tap';
import { loadConfig } from '../../src/config/load-config.js';
import { removeNetwork, useContainers } from '../runtime/oci/open-containers.js';
import { fetchAdmin } from '../fixtures/admin.js';
import { install, quick, spawnDaemon, startDaemon, until } from '../fixtures/daemon.js';
import { portRange } from '../fixtures/port-range.js';
import { askIdentity, instances } from '../fixtures/request.js';

t.test('an idle app sleeps until a request, over the death of its dispatcher, and ends like any other', async (t) => {
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
    pauseAfter: '100ms',
  };
  const main = {
    mounts: { roots: [resolve('.')] },
    runtimes: {
      process: { ports: `${from}-${to}`, scratchDir: containers.shared },
      oci: { bridge, subnet, sandboxes: 0 },
    },
  };
  const installation = await install(t, main, { hello });
  const first = await spawnDaemon(t, installation);
  const isAsleep = async (admin: string) =>
    (await instances(admin, 'hello')).some(({ state }) => state === 'paused') || undefined;

  const { instance } = await askIdentity(first.port, 'hello.localhost');
  await until(() => isAsleep(first.admin));
  t.equal((await askIdentity(first.port, 'hello.localhost')).instance, instance, 'the same instance answers again');
  const herd = await Promise.all(Array.from({ length: 20 }, () => askIdentity(first.port, 'hello.localhost')));
  t.same([...new Set(herd.map((each) => each.instance))], [instance]);
  await until(() => isAsleep(first.admin));
  first.child.kill('SIGKILL');

  const second = await startDaemon(t, installation, quick);
  t.ok(await isAsleep(second.admin), 'it sleeps on');
  t.equal((await askIdentity(second.port, 'hello.localhost')).instance, instance);
  await until(() => isAsleep(second.admin));
  const metrics = await (await fetchAdmin(`${second.admin}/metrics`)).text();
  t.match(metrics, /fastcontainer_resume_seconds_count\{runtime="oci",result="ready"\} [1-9]/);
  t.match(metrics, /fastcontainer_pauses_total\{runtime="oci",result="paused"\} [1-9]/);

  await installation.writeApp('hello', { ...hello, idleTtl: '300ms' });
  await second.daemon.reload(await loadConfig(installation.file, process.env));
  await until(async () => (await instances(second.admin, 'hello')).length === 0 || undefined);
  t.same(
    second.log.filter(({ level }) => Number(level) >= 50),
    [],
  );
});
