import t from 'tap';
import { callApi, webDocument } from '../../fixtures/api.js';
import { ask, askIdentity } from '../../fixtures/request.js';
import { installWorkers, many, spawnWorkers, terminate } from './spawn-workers.js';

const [path, domain] = ['/v1/apps/shop', 'shop.localhost'];

t.test('a change of the API holds in all workers before the call returns', async (t) => {
  const daemon = await spawnWorkers(t, await installWorkers(t), '--stop-apps');
  const statuses = async () => (await many(20, () => ask(daemon.port, domain))).map(({ status }) => status);
  t.same(await statuses(), Array(20).fill(404), 'both workers know that there is no such domain');
  t.match(await callApi(daemon.admin, 'PUT', path, { body: webDocument(domain) }), {
    status: 201,
    body: { takesEffect: 'now' },
  });
  t.same(await statuses(), Array(20).fill(200));
  const body = webDocument('other.localhost');
  t.match(await callApi(daemon.admin, 'PUT', path, { body }), { status: 200, body: { takesEffect: 'now' } });
  t.same(await statuses(), Array(20).fill(404));
  t.equal((await ask(daemon.port, 'other.localhost')).status, 200);
  t.match(await callApi(daemon.admin, 'DELETE', path), { status: 200, body: { takesEffect: 'now' } });
  t.equal(await terminate(daemon), 0);
});

t.test('operations are carried out by the workers', async (t) => {
  const daemon = await spawnWorkers(t, await installWorkers(t), '--stop-apps');
  const operate = (action: string) => callApi(daemon.admin, 'POST', `/v1/apps/hello/${action}`);
  const booted = await operate('boot');
  t.match(booted, { status: 200, body: { state: 'ready', done: true } });
  const found = await many(20, () => askIdentity(daemon.port, 'hello.localhost'));
  t.same([...new Set(found.map(({ instance }) => instance))], booted.body['instances']);
  t.match(await operate('restart'), { status: 200, body: { instances: booted.body['instances'] } });
  t.match(await operate('stop'), { status: 200, body: { state: 'asleep', done: true } });
  t.equal((await askIdentity(daemon.port, 'hello.localhost')).greeting, 'hello');
  const nodes = (await callApi(daemon.admin, 'GET', '/v1/nodes')).body as unknown as Record<string, unknown>[];
  t.same(
    nodes.map(({ state }) => state),
    ['alive', 'alive'],
    'the supervisor is none',
  );
  t.equal(await terminate(daemon), 0);
});
