import { readFile, writeFile } from 'node:fs/promises';
import t, { type Test } from 'tap';
import { parse, stringify } from 'yaml';
import { loadConfig } from '../../src/config/load-config.js';
import type { ConfigError } from '../../src/config/problem.js';
import { callApi, webDocument } from '../fixtures/api.js';
import { install, type Installation, isAlive, type Running, startDaemon, until } from '../fixtures/daemon.js';
import { ask, askIdentity } from '../fixtures/request.js';
import { startRedis, type TestRedis } from '../fixtures/redis.js';

type Stand = Running & { readonly installation: Installation; readonly redis: TestRedis | undefined };

/** Runs the test with a daemon on each kind of store. */
function onBothStores(name: string, run: (t: Test, stand: Stand) => Promise<void>, main: Record<string, unknown> = {}) {
  for (const store of ['lmdb', 'redis']) {
    t.test(`${name} (${store})`, async (t) => {
      const redis = store === 'redis' ? await startRedis(t) : undefined;
      if (store === 'redis' && !redis) return;
      const installation = await install(t, { ...main, ...(redis && { cmdb: redis.url }) });
      await run(t, { ...(await startDaemon(t, installation)), installation, redis });
    });
  }
}

const path = '/v1/apps/shop';
const domain = 'shop.localhost';

onBothStores(
  'an app that is put serves before the call returns, changes, and is removed',
  async (t, { admin, port }) => {
    t.equal((await ask(port, domain)).status, 404, 'the unknown domain is remembered');
    const made = await callApi(admin, 'PUT', path, { body: webDocument(domain, { env: { GREETING: 'one' } }) });
    t.match(made, { status: 201, body: { name: 'shop', takesEffect: 'now', changes: ['app shop added'] } });
    t.match(made.body, { source: { kind: 'api', token: 'admin' }, state: 'asleep' });
    t.equal((await askIdentity(port, domain)).greeting, 'one');

    const got = await callApi(admin, 'GET', path);
    t.match(got, { status: 200, body: { state: 'ready', app: { domains: [domain], env: { GREETING: 'one' } } } });
    t.match(got.body['effective'], {
      idleTtl: '10m',
      limits: { memory: '512m', cpus: 'unlimited' },
      queue: { max: 1000 },
    });
    t.equal(got.headers['etag'], made.headers['etag']);
    const etag = String(got.headers['etag']);
    t.equal((await callApi(admin, 'GET', path, { headers: { 'if-none-match': `W/${etag}` } })).status, 304);
    const again = await callApi(admin, 'PUT', path, { body: got.body['app'] });
    t.match(again, { status: 200, body: { changes: [] }, headers: { etag } });
    t.equal(again.body['takesEffect'], undefined, 'nothing was written');

    const patched = await callApi(admin, 'PATCH', path, {
      body: { idleTtl: '5m', env: { GREETING: null, MORE: 'x' } },
    });
    t.match(patched, { status: 200, body: { app: { idleTtl: '5m', env: { MORE: 'x' } } } });
    t.same(patched.body['app'].env, { MORE: 'x' });
    t.same(patched.body['changes'], [
      'app shop: idleTtl 10m -> 5m',
      'app shop: env.GREETING changed (in new containers)',
      'app shop: env.MORE changed (in new containers)',
    ]);

    const gone = await callApi(admin, 'DELETE', path);
    t.match(gone, { status: 200, body: { name: 'shop', ending: Number, changes: ['app shop removed'] } });
    t.equal((await ask(port, domain)).status, 404);
    t.match(await callApi(admin, 'GET', path), { status: 404, body: { code: 'unknown_app' } });
    t.match(await callApi(admin, 'DELETE', path), { status: 404, body: { code: 'unknown_app' } });
    t.match(await callApi(admin, 'PATCH', path, { body: {} }), { status: 404, body: { code: 'unknown_app' } });
    await until(async () => (await callApi(admin, 'GET', '/v1/instances?app=shop')).status === 404 || undefined);
  },
);

onBothStores(
  'a dry run tells what would change, finds what would be refused, and changes nothing',
  async (t, stand) => {
    const { admin, port } = stand;
    const dry = `${path}?dryRun=true`;
    const body = webDocument(domain);
    t.match(await callApi(admin, 'PUT', dry, { body }), {
      status: 200,
      body: { dryRun: true, changes: ['app shop would be added'] },
    });
    t.equal((await callApi(admin, 'GET', path)).status, 404);
    const taken = webDocument('hello.localhost');
    t.match(await callApi(admin, 'PUT', dry, { body: taken }), { status: 409, body: { code: 'domain_taken' } });
    t.match(await callApi(admin, 'PUT', dry, { body: { ...body, idleTtl: 'soon' } }), { status: 422 });
    await callApi(admin, 'PUT', path, { body });
    const patched = await callApi(admin, 'PATCH', dry, { body: { scale: { max: 3 } } });
    t.same(patched.body['changes'], ['app shop: scale.max 1 -> 3']);
    t.match(await callApi(admin, 'DELETE', dry), { status: 200, body: { dryRun: true } });
    t.match(await callApi(admin, 'GET', path), { status: 200, body: { effective: { scale: { max: 1 } } } });
    t.equal((await ask(port, domain)).status, 200);
    t.notOk(
      stand.log.some(({ msg }) => /audit: .* did (patch|remove)/.test(String(msg))),
      'what did not happen is not noted',
    );
  },
);

onBothStores('of two writers that read the same one wins, and the other is told', async (t, { admin }) => {
  await callApi(admin, 'PUT', path, { body: webDocument(domain) });
  const etag = String((await callApi(admin, 'GET', path)).headers['etag']);
  const patch = (max: number) =>
    callApi(admin, 'PATCH', path, { body: { scale: { max } }, headers: { 'if-match': etag } });
  const answers = await Promise.all([2, 3, 4, 5].map(patch));
  t.same(answers.map(({ status }) => status).toSorted(), [200, 412, 412, 412]);
  const loser = answers.find(({ status }) => status === 412)!;
  t.match(loser.body, { code: 'precondition_failed', remedy: /get it again/ });
  t.equal(loser.headers['etag'], (await callApi(admin, 'GET', path)).headers['etag'], 'the ETag as it is now');
  const make = () =>
    callApi(admin, 'PUT', '/v1/apps/other', {
      body: webDocument('other.localhost', { labels: { by: String(Math.random()) } }),
      headers: { 'if-none-match': '*' },
    });
  const made = await Promise.all([make(), make(), make()]);
  t.same(made.map(({ status }) => status).toSorted(), [201, 412, 412]);
  const stale = { headers: { 'if-match': etag } };
  t.equal((await callApi(admin, 'DELETE', path, stale)).status, 412);
  t.equal((await callApi(admin, 'PUT', '/v1/apps/new', { body: webDocument('n.localhost'), ...stale })).status, 412);
});

onBothStores('a domain is added to an app and taken away by its address', async (t, { admin, port }) => {
  await callApi(admin, 'PUT', path, { body: webDocument(domain) });
  const domains = `${path}/domains`;
  const added = await callApi(admin, 'PUT', `${domains}/B%C3%BCcher.localhost`);
  t.match(added, {
    status: 200,
    body: { app: { domains: [domain, 'Bücher.localhost'] }, takesEffect: 'now' },
  });
  t.equal((await ask(port, 'xn--bcher-kva.localhost')).status, 200);
  const again = await callApi(admin, 'PUT', `${domains}/xn--bcher-kva.localhost`);
  t.match(again, { status: 200, body: { changes: [] } }, 'it is the same domain');
  const dry = await callApi(admin, 'DELETE', `${domains}/${domain}?dryRun=true`);
  t.match(dry, { status: 200, body: { dryRun: true, changes: ['app shop: domain shop.localhost removed'] } });
  t.match(await callApi(admin, 'DELETE', `${domains}/${domain}`), { body: { app: { domains: ['Bücher.localhost'] } } });
  t.equal((await ask(port, domain)).status, 404);
  t.match(await callApi(admin, 'DELETE', `${domains}/${domain}`), { status: 404, body: { code: 'unknown_domain' } });
  t.match(await callApi(admin, 'DELETE', `${domains}/xn--bcher-kva.localhost`), { status: 422 }, 'the last one stays');
  t.match(await callApi(admin, 'PUT', `${domains}/hello.localhost`), { status: 409, body: { code: 'domain_taken' } });
  for (const bad of ['a%20b', '*.*.localhost', 'a:80', 'x'.repeat(300), '%F0%9F%98%80'.repeat(80)])
    t.equal((await callApi(admin, 'PUT', `${domains}/${bad}`)).status, 400, bad.slice(0, 20));
  t.match(await callApi(admin, 'PUT', `${domains}/*.shop.localhost`), { status: 200 });
  t.equal((await ask(port, 'any.shop.localhost')).status, 200);
  const inFile = await callApi(admin, 'PUT', '/v1/apps/hello/domains/new.localhost');
  t.match(inFile, { status: 409, body: { code: 'app_in_file', detail: /hello\.yaml/ } });
  const names = Array.from({ length: 8 }, (_, index) => `n${index}.localhost`);
  await Promise.all(names.map((name) => callApi(admin, 'PUT', `${domains}/${name}`)));
  const { body } = await callApi(admin, 'GET', path);
  t.same(
    names.filter((name) => !body['domains'].includes(name)),
    [],
    'of those that race none is lost',
  );
});

onBothStores('patches that race lose nothing of each other', async (t, { admin }) => {
  await callApi(admin, 'PUT', path, { body: webDocument(domain) });
  const names = ['A', 'B', 'C', 'D', 'E', 'F'];
  const answers = await Promise.all(
    names.map((name) => callApi(admin, 'PATCH', path, { body: { env: { [name]: '1' } } })),
  );
  t.ok(answers.every(({ status }) => status === 200));
  t.same(Object.keys((await callApi(admin, 'GET', path)).body['app'].env).toSorted(), names);
});

onBothStores('an app of a file is only its file’s to change, and the answer names it', async (t, { admin, port }) => {
  const hello = '/v1/apps/hello';
  const got = await callApi(admin, 'GET', hello);
  t.match(got.body, { source: { kind: 'file', file: /apps\/hello.yaml$/ }, app: { domains: ['hello.localhost'] } });
  const calls: [string, unknown][] = [
    ['PUT', webDocument('hello.localhost')],
    ['PATCH', { idleTtl: '1m' }],
    ['DELETE', undefined],
  ];
  for (const [method, body] of calls) {
    for (const query of ['', '?dryRun=true']) {
      const refused = await callApi(admin, method, hello + query, { body });
      t.match(refused, { status: 409, body: { code: 'app_in_file', detail: /stands in .*apps\/hello\.yaml/ } }, method);
    }
  }
  t.match(await callApi(admin, 'PUT', path, { body: webDocument('hello.localhost') }), {
    status: 409,
    body: { code: 'domain_taken', detail: /Domain hello\.localhost belongs to app hello/ },
  });
  t.equal((await ask(port, 'hello.localhost')).status, 200);
});

onBothStores(
  'a file takes neither the name nor a domain of an app of the API, until that is removed',
  async (t, stand) => {
    const { admin, installation, daemon, log } = stand;
    await callApi(admin, 'PUT', path, { body: webDocument(domain, { env: { GREETING: 'api' } }) });
    await installation.writeApp('shop', { env: { GREETING: 'file' }, domains: ['shop2.localhost'] });
    await installation.writeApp('thief', { domains: [domain] });
    await daemon.reload(await loadConfig(installation.file, process.env));
    t.match(
      log.find(({ msg }) => /app shop was put by API \(token admin\).*DELETE \/v1\/apps\/shop/.test(String(msg))),
      { putBy: 'admin', file: /apps\/shop.yaml$/ },
    );
    t.ok(log.some(({ msg }) => /domain shop\.localhost of app thief belongs to app shop/.test(String(msg))));
    const ready = await callApi(admin, 'GET', '/readyz');
    t.match(ready, { status: 200, body: { checks: { apps: { ok: true, detail: /^2 refused: / } } } });
    t.equal((await askIdentity(stand.port, domain)).greeting, 'api');
    t.match(await callApi(admin, 'PATCH', path, { body: { idleTtl: '3m' } }), { status: 200 }, 'it is still the API’s');

    await installation.writeApp('shop', undefined);
    await daemon.reload(await loadConfig(installation.file, process.env));
    t.equal((await callApi(admin, 'GET', path)).status, 200, 'the end of a file that was refused removes nothing');

    await callApi(admin, 'DELETE', path);
    await until(async () => (await callApi(admin, 'GET', '/v1/apps/thief')).status === 200 || undefined);
    t.equal((await ask(stand.port, domain)).status, 200, 'the file that was refused is applied without a reload');
  },
);

onBothStores('an app of the API outlives a restart of the daemon and every change of its files', async (t, stand) => {
  const { admin, installation, daemon } = stand;
  await callApi(admin, 'PUT', path, { body: webDocument(domain) });
  await callApi(admin, 'PUT', '/v1/apps/asleep', { body: webDocument('asleep.localhost') });
  const { pid } = await askIdentity(stand.port, domain);
  await installation.writeApp('hello', undefined);
  await installation.writeApp('new', {});
  await daemon.reload(await loadConfig(installation.file, process.env));
  t.equal((await askIdentity(stand.port, domain)).pid, pid);
  await daemon.close();
  const next = await startDaemon(t, installation);
  t.match(await callApi(next.admin, 'GET', path), { status: 200, body: { source: { kind: 'api' } } });
  t.equal((await ask(next.port, 'asleep.localhost')).status, 200);
  t.match(
    (await callApi(next.admin, 'GET', '/v1/apps')).body.map(({ name }: { name: string }) => name),
    ['asleep', 'new', 'shop'],
  );
});

onBothStores(
  'what is wrong with an app is said in the words that its file would get',
  async (t, { admin, installation }) => {
    const cases: [Record<string, unknown>, RegExp][] = [
      [{ idleTtl: 'soon' }, /idleTtl: must be a duration from/],
      [{ idelTtl: '5m' }, /idelTtl: unknown key; did you mean idleTtl/],
      [{ ports: 80 }, /ports: unknown key; write port/],
      [{ scale: { min: 2 } }, /scale.min: must not be above scale.max/],
      [{ plan: 'large' }, /plan: there is no plan "large"; the main file defines none/],
      [{ env: { A: 1 } }, /env.A: must be text/],
      [{ env: { A: null } }, /env.A: must be text .*got another value|env.A: must be text/],
      [{ domains: ['a b'] }, /domains\[0\]: /],
      [{ runtime: 'vm' }, /runtime: must be .*, got "vm"/],
      [{ image: 'x', command: [''] }, /command\[0\]: must name a program/],
    ];
    for (const [more, expected] of cases) {
      const refused = await callApi(admin, 'PUT', path, { body: webDocument(domain, more) });
      t.match(refused, { status: 422, body: { code: 'invalid_app' } }, JSON.stringify(more));
      const lines = refused.body['problems'].map(
        (it: { path: string; message: string }) => `${it.path}: ${it.message}`,
      );
      t.match(lines.join('\n'), expected);
      if (more['env']) continue;
      await writeFile(`${installation.dir}/apps/shop.yaml`, stringify({ name: 'shop', ...webDocument(domain, more) }));
      const problems = await loadConfig(installation.file, process.env).then(
        () => [],
        (error: ConfigError) => error.problems,
      );
      t.same(
        lines,
        problems.map((it) => `${it.path}: ${it.message}`),
        'as the file',
      );
    }
    const other = await callApi(admin, 'PUT', path, { body: { ...webDocument(domain), name: 'else' } });
    t.match(other, { status: 422, body: { problems: [{ path: 'name', message: /must be shop/ }] } });
  },
);

onBothStores('a body is bounded before it is read', async (t, { admin, port }) => {
  const put = (body: string | Buffer, headers: Record<string, string> = {}) =>
    callApi(admin, 'PUT', path, { body, headers });
  const large = JSON.stringify(webDocument(domain, { env: { A: 'x'.repeat(64 * 1024) } }));
  t.match(await put(large), { status: 413, body: { code: 'payload_too_large' } });
  t.match(await put('{'), { status: 400, body: { code: 'bad_request' } });
  t.match(await put('', { 'content-length': '0' }), { status: 400, body: { code: 'bad_request' } });
  t.match(await put('{"__proto__": {"env": {}}}'), { status: 400 });
  t.match(await put('[]'), { status: 422 });
  t.match(await put('null'), { status: 422 });
  t.match(await put('{}', { 'content-type': 'text/plain' }), { status: 415, body: { code: 'unsupported_media_type' } });
  t.match(await put('{}', { 'content-type': 'application/merge-patch+json' }), { status: 415 });
  const deep = `${'{"a":'.repeat(10_000)}1${'}'.repeat(10_000)}`;
  t.match(await put(deep), { status: 400, body: { detail: /nests more than 32 levels/ } });
  t.match(await callApi(admin, 'PATCH', path, { body: deep }), { status: 400 });
  const keys = JSON.stringify(Object.fromEntries(Array.from({ length: 5_000 }, (_, index) => [`k${index}`, 1])));
  const many = await put(keys);
  t.match(many, { status: 422 });
  t.equal(many.body['problems'].length, 10, 'no more than files get');
  for (const patch of ['[]', '1', 'null', '"x"'])
    t.match(await callApi(admin, 'PATCH', path, { body: patch }), { status: 400 }, patch);
  for (const name of ['Shop', 'a_b', '-', 'x'.repeat(41), '%00', '..%2Fadmin', '%F0%9F%98%80', "a'b"]) {
    t.match(await callApi(admin, 'GET', `/v1/apps/${name}`), { status: 404 }, name);
    t.match(
      await callApi(admin, 'DELETE', `/v1/apps/${name}`, { headers: { 'content-type': 'application/json' } }),
      { status: 404 },
      name,
    );
    t.match(await callApi(admin, 'PATCH', `/v1/apps/${name}`, { body: {} }), { status: 404 }, name);
    t.match((await callApi(admin, 'PUT', `/v1/apps/${name}`, { body: webDocument(domain) })).status, 422, name);
  }
  t.equal((await callApi(admin, 'GET', '/v1/apps')).body.length, 1, 'nothing was made');
  t.equal((await ask(port, 'hello.localhost')).status, 200);
});

t.test('while the store is away a write is 503 with Retry-After, and nothing is half-written', async (t) => {
  const redis = await startRedis(t);
  if (!redis) return;
  const { admin } = await startDaemon(t, await install(t, { cmdb: redis.url }));
  await callApi(admin, 'PUT', path, { body: webDocument(domain) });
  redis.process.kill('SIGSTOP');
  const calls: [string, unknown][] = [
    ['PUT', webDocument('other.localhost')],
    ['PATCH', { idleTtl: '1m' }],
    ['DELETE', undefined],
    ['GET', undefined],
  ];
  const answers = await Promise.all(calls.map(([method, body]) => callApi(admin, method, path, { body })));
  for (const answer of answers)
    t.match(answer, { status: 503, body: { code: 'cmdb_unavailable' }, headers: { 'retry-after': '1' } });
  redis.process.kill('SIGCONT');
  await until(async () => (await callApi(admin, 'GET', path)).status === 200 || undefined);
  t.same((await callApi(admin, 'GET', path)).body['app'].domains, [domain]);
});

t.test('a store that comes back empty has lost the apps of the API: they end, and can be put again', async (t) => {
  const redis = await startRedis(t);
  if (!redis) return;
  const { admin, port } = await startDaemon(t, await install(t, { cmdb: redis.url }));
  const document = webDocument(domain);
  await callApi(admin, 'PUT', path, { body: document });
  const { pid } = await askIdentity(port, domain);
  await redis.restart();
  await until(() => !isAlive(pid) || undefined);
  await until(async () => (await ask(port, domain)).status === 404 || undefined);
  t.equal((await ask(port, 'hello.localhost')).status, 200);
  t.equal((await callApi(admin, 'PUT', path, { body: document })).status, 201);
  t.equal((await ask(port, domain)).status, 200);
});

onBothStores(
  'apps are listed in pages, by state, plan, label and text',
  async (t, { admin }) => {
    for (const name of ['a', 'b', 'c', 'd']) {
      const body = webDocument(`${name}.example.org`, {
        plan: name < 'c' ? 'small' : 'large',
        labels: { customer: `c-${name}` },
      });
      t.equal((await callApi(admin, 'PUT', `/v1/apps/${name}`, { body })).status, 201);
    }
    const names = async (query: string) =>
      (await callApi(admin, 'GET', `/v1/apps?${query}`)).body.map(({ name }: { name: string }) => name);
    t.same(await names(''), ['a', 'b', 'c', 'd', 'hello']);
    t.same(await names('plan=small'), ['a', 'b']);
    t.same(await names('label=customer%3Dc-b'), ['b']);
    t.same(await names('label=customer'), ['a', 'b', 'c', 'd']);
    t.same(await names('label=customer&label=customer%3Dc-d'), ['d']);
    t.same(await names('text=C.EXAMPLE'), ['c']);
    t.same(await names('state=ready'), []);
    t.same(await names('state=asleep&text=hello'), ['hello']);
    const pages: string[][] = [];
    let next: string | undefined = '/v1/apps?limit=2&label=customer';
    while (next) {
      const { body, headers } = await callApi(admin, 'GET', next);
      pages.push(body.map(({ name }: { name: string }) => name));
      next = /^<(.*)>; rel="next"$/.exec(String(headers['link'] ?? ''))?.[1];
    }
    t.same(pages, [
      ['a', 'b'],
      ['c', 'd'],
    ]);
    for (const query of ['limit=0', 'limit=1001', 'limit=x', 'state=odd', 'page=2', `text=${'x'.repeat(300)}`])
      t.match(await callApi(admin, 'GET', `/v1/apps?${query}`), { status: 400, body: { code: 'bad_request' } }, query);
  },
  { plans: { small: {}, large: {} } },
);

onBothStores(
  'a plan counts as it is when the app is put, and an empty patch takes over what it says now',
  async (t, stand) => {
    const { admin, installation, daemon } = stand;
    await callApi(admin, 'PUT', path, { body: webDocument(domain, { plan: 'small', limits: { pids: 64 } }) });
    t.match((await callApi(admin, 'GET', path)).body, {
      plan: 'small',
      effective: { limits: { memory: '64m', pids: 64 } },
    });
    const main = parse(await readFile(installation.file, 'utf8')) as object;
    await writeFile(installation.file, stringify({ ...main, plans: { small: { limits: { memory: '96m' } } } }));
    await daemon.reload(await loadConfig(installation.file, process.env));
    t.match((await callApi(admin, 'GET', path)).body, { effective: { limits: { memory: '64m' } } });
    t.match((await callApi(admin, 'PATCH', path, { body: {} })).body, {
      changes: ['app shop: limits.memory 64m -> 96m (in new containers)'],
      app: { plan: 'small', limits: { pids: 64 } },
    });
  },
  { plans: { small: { limits: { memory: '64m' } } } },
);
