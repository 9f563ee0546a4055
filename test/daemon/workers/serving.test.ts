import { fetchAdmin } from '../../fixtures/admin.js';
import t from 'tap';
import { isAlive, until } from '../../fixtures/daemon.js';
import { portRange } from '../../fixtures/port-range.js';
import { ask, askIdentity, instances } from '../../fixtures/request.js';
import { completed, installWorkers, many, metric, spawnWorkers, terminate, workersOf } from './spawn-workers.js';

const host = 'hello.localhost';

t.test('all workers serve one container, and the admin side speaks for all of them', async (t) => {
  const daemon = await spawnWorkers(t, await installWorkers(t), '--stop-apps');
  const { pid } = await askIdentity(daemon.port, host);
  const answers = await many(39, () => askIdentity(daemon.port, host));
  t.ok(
    answers.every((answer) => answer.pid === pid),
    'one container',
  );
  const [instance] = await instances(daemon.admin, 'hello');
  t.equal(Object.keys((instance as unknown as { users: object }).users).length, 2, 'each worker is a user of it');
  t.equal(await metric(daemon.admin, completed), 40, 'what both counted is summed up');
  t.equal(await metric(daemon.admin, /^fastcontainer_instances\{state="ready"\}/), 1, 'what is in the store is not');
  t.equal(await metric(daemon.admin, /^fastcontainer_worker_up\{/), 2);
  const slow = many(6, () => ask(daemon.port, host, '/slow?ms=4000'));
  const sum = async () => (await instances(daemon.admin, 'hello'))[0]?.inflight === 6 || undefined;
  t.ok(await until(sum), 'requests under way in both are summed up');
  t.ok((await slow).every(({ status }) => status === 200));
  t.match(await (await fetchAdmin(`${daemon.admin}/readyz`)).json(), {
    status: 'ready',
    checks: { workers: { ok: true }, cmdb: { ok: true }, apps: { ok: true }, serving: { ok: true } },
  });
  t.equal(await terminate(daemon), 0);
  t.notOk(isAlive(pid), '--stop-apps ended it');
});

t.test('a reload is decided once and holds in every worker, also in one that starts later', async (t) => {
  const installation = await installWorkers(t);
  const daemon = await spawnWorkers(t, installation, '--stop-apps');
  await installation.writeApp('hello', { domains: [host, 'other.localhost'] });
  await until(() => daemon.log.find(({ msg }) => String(msg).startsWith('configuration reloaded')));
  const served = await many(20, () => ask(daemon.port, 'other.localhost'));
  t.ok(served.every(({ status }) => status === 200));
  await installation.writeApp('hello', { idleTTL: '5m' });
  const error = await until(() => daemon.log.find(({ msg }) => /app files are wrong/.test(String(msg))));
  t.match(error, { msg: /hello\.yaml:\d+ .*idleTTL/ });
  for (const pid of await workersOf(daemon)) process.kill(pid, 'SIGKILL');
  await until(
    () => daemon.log.filter(({ msg }) => msg === 'the replacement of a worker serves').length === 2 || undefined,
  );
  const later = await many(20, () => ask(daemon.port, 'other.localhost'));
  t.ok(
    later.every((answer) => answer.status === 200),
    'what was in force before the bad file',
  );
  const reloads = daemon.log.flatMap(({ msg }) => /^configuration reloaded: (.*)/.exec(String(msg))?.[1] ?? []);
  t.match(reloads, [/domain other\.localhost added/, /^app hello held/]);
  t.equal(reloads.length, 2);
  t.equal(await terminate(daemon), 0);
});

t.test('a reload that workers refuse leaves them on the apps that they had', async (t) => {
  const { from, to } = portRange(t);
  const processes = { ports: `${from}-${to}`, scratchDir: './scratch', pidNamespace: false };
  const docker = { host: 'tcp://127.0.0.1:1', caFile: './missing.pem' };
  const installation = await installWorkers(t, { runtimes: { process: processes, docker } });
  const daemon = await spawnWorkers(t, installation);
  const boxed = { runtime: 'docker', image: 'web:1', command: undefined, user: undefined };
  await installation.writeApp('hello', { ...boxed, drainTimeout: '2m' });
  await until(() => daemon.log.find(({ msg }) => /^configuration not reloaded: .*caFile/.test(String(msg))));
  await installation.writeApp('hello', { idleTtl: '2m' });
  await until(() => daemon.log.find(({ msg }) => /^configuration reloaded: .*idleTtl/.test(String(msg))));
  t.equal(await terminate(daemon), 0);
  const draining = daemon.log.filter(({ msg }) => msg === 'draining');
  t.same(
    draining.map(({ drainMs }) => drainMs),
    [30_000, 30_000, 30_000],
    'the supervisor and both workers',
  );
});

t.test('SIGTERM lets the requests of all workers finish, leaves the containers and exits 0', async (t) => {
  const daemon = await spawnWorkers(t, await installWorkers(t));
  const { pid } = await askIdentity(daemon.port, host);
  const slow = many(6, () => ask(daemon.port, host, '/slow?ms=2500'));
  await until(async () => (await instances(daemon.admin, 'hello'))[0]?.inflight === 6 || undefined);
  const workers = await workersOf(daemon);
  t.equal(await terminate(daemon), 0);
  t.ok((await slow).every(({ status, body }) => status === 200 && body === 'slow'));
  t.ok(isAlive(pid));
  t.notOk(workers.some(isAlive));
});
