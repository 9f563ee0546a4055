import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { type AdminOptions, createAdmin } from '../../src/admin/admin.js';
import type { AppRecord } from '../../src/cmdb/cmdb.js';
import { RequestError } from '../../src/model/errors.js';
import { Metrics } from '../../src/telemetry/metrics.js';
import { testApp } from '../fixtures/app.js';
import { testDeployment, testRevision } from '../fixtures/deployment.js';
import { ask } from '../fixtures/request.js';

const record: AppRecord = {
  app: testApp({ env: { SECRET: 'hunter2' }, maxLifetimeMs: 1_000 }),
  removed: false,
  version: 'v',
  deployment: {
    ...testDeployment({ users: { me: { since: 0 } }, boot: { start: 5 } }),
    breaker: { failures: 1, retryAt: 0, code: 'boot_failed', message: 'exit code 1' },
  },
};

async function* one(): AsyncIterable<AppRecord> {
  yield record;
}

async function start(t: Test, overrides: Partial<AdminOptions> = {}): Promise<{ port: number; address: string }> {
  const admin = createAdmin({
    listen: { host: '127.0.0.1', port: 0 },
    version: '1.2.3',
    metrics: new Metrics(),
    logger: pino({ level: 'silent' }),
    readiness: () => ({ ready: true, checks: { cmdb: { ok: true } } }),
    apps: one,
    activeApps: one,
    app: async (name) => (name === 'shop' ? record : undefined),
    localUse: () => ({ inflight: 7 }),
    ...overrides,
  });
  t.teardown(() => admin.close());
  const address = await admin.listen();
  return { address, port: Number(address.split(':').at(-1)) };
}

t.test('health says that it lives, readiness why it is not ready', async (t) => {
  const { port } = await start(t, {
    readiness: () => ({ ready: false, checks: { cmdb: { ok: false, detail: 'connection refused' } } }),
  });
  t.match(await ask(port, 'localhost', '/healthz'), { status: 200, body: /"version":"1\.2\.3"/ });
  t.match(await ask(port, 'localhost', '/readyz'), { status: 503, body: /connection refused/ });
});

t.test('metrics are in the text format', async (t) => {
  const { port } = await start(t);
  t.match(await ask(port, 'localhost', '/metrics'), {
    status: 200,
    headers: { 'content-type': /^text\/plain; version=0\.0\.4/ },
    body: /# TYPE fastcontainer_requests_total counter/,
  });
});

t.test('apps and instances are told without secrets', async (t) => {
  const { port } = await start(t);
  const apps = await ask(port, 'localhost', '/v1/apps');
  t.match(JSON.parse(apps.body), [
    { name: 'shop', domains: ['shop.example'], instances: { ready: 1 }, breaker: { failures: 1 } },
  ]);
  t.notMatch(apps.body, /hunter2/);
  const instances = await ask(port, 'localhost', '/v1/instances?app=shop');
  t.same(JSON.parse(instances.body), [
    {
      id: 'shop-1',
      app: 'shop',
      revision: testRevision,
      state: 'ready',
      runtime: 'process',
      host: 'here',
      address: '127.0.0.1:20001',
      bootedAt: '1970-01-01T00:00:00.000Z',
      readyAt: '1970-01-01T00:00:00.000Z',
      expiresAt: '1970-01-01T00:00:00.999Z',
      lastActiveAt: '1970-01-01T00:00:00.000Z',
      users: [{ session: 'me', since: '1970-01-01T00:00:00.000Z' }],
      inflight: 7,
      boot: { start: 5 },
    },
  ]);
  t.equal(JSON.parse((await ask(port, 'localhost', '/v1/instances')).body).length, 1);
});

t.test('a replacement under way and one that failed are told with the instances', async (t) => {
  const failedReplacement = {
    failures: 2,
    retryAt: 0,
    code: 'boot_timeout',
    message: 'not ready',
    revision: 'r2',
  } as const;
  const rolling: AppRecord = {
    ...record,
    deployment: {
      ...testDeployment(
        {},
        { id: 'shop-2', state: 'booting', replaces: { id: 'shop-1', reason: 'revision' } },
        { id: 'shop-0', state: 'draining', end: { reason: 'lifetime', since: 0 } },
      ),
      failedReplacement: { ...failedReplacement, replaces: 'shop-1' },
    },
  };
  const { port } = await start(t, { app: async () => rolling });
  const [old, next, drained] = JSON.parse((await ask(port, 'localhost', '/v1/instances?app=shop')).body);
  t.match(old, { failedReplacement: { ...failedReplacement, retryAt: '1970-01-01T00:00:00.000Z' } });
  t.match(next, { replaces: { id: 'shop-1', reason: 'revision' }, failedReplacement: undefined });
  t.match(drained, { end: { reason: 'lifetime', since: '1970-01-01T00:00:00.000Z' } });
});

t.test('what cannot be answered is a problem with its status', async (t) => {
  const down = async (): Promise<never> => {
    throw new RequestError('cmdb_unavailable');
  };
  const { port } = await start(t, { app: down });
  const cases: [string, number, string][] = [
    ['/nowhere', 404, 'not_found'],
    ['/v1/instances?apps=x', 400, 'bad_request'],
    ['/v1/instances?app=shop', 503, 'cmdb_unavailable'],
  ];
  for (const [path, status, code] of cases) {
    const answer = await ask(port, 'localhost', path);
    t.match(answer, { status, headers: { 'content-type': /^application\/problem\+json/ } }, path);
    t.equal(JSON.parse(answer.body).code, code);
  }
  const { port: up } = await start(t);
  t.match(await ask(up, 'localhost', '/v1/instances?app=nobody'), { status: 404, body: /unknown_app/ });
});

t.test('a token is asked for everywhere but for health', async (t) => {
  const { port } = await start(t, { token: 'a-long-enough-token' });
  t.equal((await ask(port, 'localhost', '/healthz')).status, 200);
  t.match(await ask(port, 'localhost', '/v1/apps'), { status: 401, headers: { 'www-authenticate': 'Bearer' } });
  const send = (token: string) => ask(port, 'localhost', '/v1/apps', { headers: { authorization: `Bearer ${token}` } });
  t.equal((await send('wrong-but-as-long-')).status, 401);
  t.equal((await send('a-long-enough-token')).status, 200);
});

t.test('without a token only loopback names are answered, so that no web page can ask', async (t) => {
  const { port } = await start(t);
  t.equal((await ask(port, 'evil.example', '/v1/apps')).status, 403);
  for (const host of ['localhost', '127.0.0.1:8081', '[::1]:8081']) {
    t.equal((await ask(port, host, '/v1/apps')).status, 200, host);
  }
});

t.test('a UNIX socket is for its owner only, and a stale one is no obstacle', async (t) => {
  const dir = await mkdtemp(join(tmpdir(), 'fastcontainer-admin-'));
  t.teardown(() => rm(dir, { recursive: true, force: true }));
  const path = join(dir, 'admin.sock');
  await writeFile(path, '');
  const { address } = await start(t, { listen: { path } });
  t.equal(address, `unix:${path}`);
  t.equal((await stat(path)).mode & 0o777, 0o600);
  const status = await new Promise((resolve, reject) => {
    request({ socketPath: path, path: '/healthz', agent: false }, (res) => resolve(res.resume().statusCode))
      .on('error', reject)
      .end();
  });
  t.equal(status, 200);
});
