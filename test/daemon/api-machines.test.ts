import t from 'tap';
import { callApi, webDocument } from '../fixtures/api.js';
import { install, startDaemon, until } from '../fixtures/daemon.js';
import { useOwnDocker } from '../fixtures/docker.js';
import { dockerApp } from '../fixtures/docker-app.js';
import { startMachine } from '../fixtures/machine.js';
import { startRedis } from '../fixtures/redis.js';
import { askIdentity } from '../fixtures/request.js';

const [path, domain] = ['/v1/apps/shop', 'shop.localhost'];

t.test('an app that is put at one machine serves at the others, and no file of theirs takes it', async (t) => {
  const redis = await startRedis(t);
  if (!redis) return;
  const cmdb = { url: redis.url, name: 'api' };
  const a = await startMachine(t, { host: 'a', address: '127.0.0.2', cmdb, apps: { hello: {} } });
  const b = await startMachine(t, { host: 'b', address: '127.0.0.3', cmdb, apps: { hello: {} } });
  t.equal((await b.ask(domain)).status, 404);
  const body = webDocument(domain, { env: { GREETING: 'api' } });
  t.match(await callApi(a.admin, 'PUT', path, { body }), { status: 201, body: { takesEffect: 'soon' } });
  await until(async () => (await b.ask(domain)).status === 200 || undefined);
  t.equal((await b.identity(domain)).greeting, 'api');

  await b.changeApp('shop', { env: { GREETING: 'file' } });
  t.ok(b.log.some(({ msg }) => /app shop was put by API \(token admin\)/.test(String(msg))));
  t.match(await callApi(b.admin, 'PATCH', path, { body: { idleTtl: '3m' } }), { status: 200 });
  t.match(await callApi(a.admin, 'PUT', '/v1/apps/hello', { body }), {
    status: 409,
    body: { code: 'app_in_file', detail: /a file of b|apps\/hello\.yaml of a/ },
  });
  await b.changeApp('shop', undefined);
  t.equal((await callApi(a.admin, 'GET', path)).status, 200);

  await callApi(b.admin, 'DELETE', path);
  await until(async () => (await a.ask(domain)).status === 404 || undefined);
});

t.test('an app that is put may need a runtime that no file does, and is found again after a restart', async (t) => {
  const engine = await useOwnDocker(t);
  if (!engine) return;
  const { runtimes, app } = await dockerApp(t, engine);
  const installation = await install(t, { runtimes });
  const first = await startDaemon(t, installation, undefined, { stopApps: false });
  t.equal((await callApi(first.admin, 'PUT', path, { body: containerOf(app) })).status, 201);
  const { instance } = await askIdentity(first.port, domain);
  await first.daemon.close();
  const next = await startDaemon(t, installation);
  t.equal((await askIdentity(next.port, domain)).instance, instance, 'it ran on');
  await callApi(next.admin, 'DELETE', path);
  await until(async () => (await callApi(next.admin, 'GET', '/v1/instances?app=shop')).status === 404 || undefined);
  await until(async () => {
    const filters = { label: ['fastcontainer.instance'] };
    return (await engine.docker.listContainers({ all: true, filters })).length === 0 || undefined;
  });
});

/** What `dockerApp` writes into a file, without what the file of a process has. */
function containerOf(app: Record<string, unknown>): Record<string, unknown> {
  return { idleTtl: '10m', stopTimeout: '2s', ...app, domains: [domain] };
}
