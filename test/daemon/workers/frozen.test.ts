import { fetchAdmin } from '../../fixtures/admin.js';
import t from 'tap';
import { until } from '../../fixtures/daemon.js';
import { ask, askIdentity } from '../../fixtures/request.js';
import { completed, installWorkers, many, metric, spawnWorkers, terminate, workersOf } from './spawn-workers.js';

const host = 'hello.localhost';

t.test('a worker that stands still is found, reported, killed and replaced, and no request waits for it', async (t) => {
  const daemon = await spawnWorkers(t, await installWorkers(t), '--stop-apps');
  await askIdentity(daemon.port, host);
  await many(10, () => ask(daemon.port, host));
  const counted = await metric(daemon.admin, completed);
  const [frozen = 0, other] = await workersOf(daemon);
  process.kill(frozen, 'SIGSTOP');
  const answers = many(40, () => ask(daemon.port, host));
  const readiness = await until(async () => {
    const response = await fetchAdmin(`${daemon.admin}/readyz`);
    return response.status === 503 ? await response.text() : undefined;
  });
  t.match(readiness, new RegExp(`worker \\d \\(pid ${frozen}\\) does not answer`));
  t.equal(await metric(daemon.admin, /^fastcontainer_worker_up\{/), 1, 'the metrics do not wait for it');
  t.ok((await metric(daemon.admin, completed)) >= counted, 'and what it counted stays in the sums');
  t.ok(
    (await answers).every(({ status }) => status === 200),
    'the other one takes them',
  );
  await until(() => daemon.log.find(({ msg }) => msg === 'the replacement of a worker serves'));
  t.equal(await metric(daemon.admin, /^fastcontainer_worker_replacements_total\{reason="unresponsive"\}/), 1);
  t.ok((await workersOf(daemon)).includes(other ?? 0), 'the other one stayed');
  await until(async () => (await fetchAdmin(`${daemon.admin}/readyz`)).ok || undefined);
  t.equal(await terminate(daemon), 0);
});
