import t from 'tap';
import { afterReload, reloadOf, workerConfig } from '../../../src/daemon/workers/worker-config.js';
import { loadFiles } from '../../config/files.js';
import { appYaml } from '../../config/files.js';

t.test('bounds of the machine are divided among the workers', async (t) => {
  const config = await loadFiles({
    'main.yaml': 'http: { maxConnections: 10, maxConnectionsPerClient: 6 }\nboot: { concurrency: 3 }\n',
  });
  t.match(workerConfig(config, 4), {
    http: { maxConnections: 3, maxConnectionsPerClient: 2 },
    boot: { concurrency: 1 },
  });
  t.match(workerConfig(config, 2), {
    http: { maxConnections: 5, maxConnectionsPerClient: 3 },
    boot: { concurrency: 1 },
  });
  t.same(workerConfig(config, 1), config);
});

t.test('what needs a restart is not taken over by a worker that starts after a reload', async (t) => {
  const initial = await loadFiles({ 'main.yaml': 'workers: 2\n' });
  const next = await loadFiles({
    'main.yaml': 'workers: 3\nlisten: { http: 127.0.0.1:1234 }\nlog: { level: debug }\n',
    'apps/a.yaml': appYaml('a'),
  });
  const told = afterReload(initial, next);
  t.match(told, { workers: 2, listen: initial.listen, log: { level: 'debug' }, apps: [{ name: 'a' }] });
});

t.test('a configuration crosses to a worker as it is', async (t) => {
  const config = await loadFiles({ 'main.yaml': 'workers: auto\n', 'apps/a.yaml': appYaml('a') });
  t.ok(config.workers >= 1);
  t.same(JSON.parse(JSON.stringify(config)), config);
});

t.test('apps are sent again if they changed, or if not every worker is known to have them', async (t) => {
  const config = await loadFiles({ 'main.yaml': 'workers: 2', 'apps/a.yaml': appYaml('a') });
  const more = await loadFiles({ 'main.yaml': 'workers: 2', 'apps/a.yaml': appYaml('a'), 'apps/b.yaml': appYaml('b') });
  t.equal(reloadOf(config, config).apps, undefined);
  t.match(reloadOf(config, more).apps, [{ name: 'a' }, { name: 'b' }]);
  t.match(reloadOf(undefined, config).apps, [{ name: 'a' }]);
});
