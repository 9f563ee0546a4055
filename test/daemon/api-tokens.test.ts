import { readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { parse, stringify } from 'yaml';
import { hashOf } from '../../src/admin/credentials.js';
import { loadConfig } from '../../src/config/load-config.js';
import { callApi, webDocument } from '../fixtures/api.js';
import { appUser } from '../fixtures/app-user.js';
import { install, type Installation, startDaemon, webApp } from '../fixtures/daemon.js';
import { startRedis } from '../fixtures/redis.js';
import { askIdentity } from '../fixtures/request.js';

const reader = { name: 'reader', scope: 'read', hash: hashOf('reader') };
const writer = { name: 'writer', scope: 'write', hash: hashOf('writer') };
const [one, two] = ['r1', 'r2'].map((name) => ({
  ...{ name, scope: 'write', hash: hashOf(name), labels: { reseller: name } },
  ...{ domains: [`*.${name}.localhost`], plan: 'small', images: ['php'] },
}));
const watcher = { name: 'watcher', scope: 'read', hash: hashOf('watcher'), labels: { reseller: 'r1' } };
const operator = { name: 'operator', scope: 'operate', hash: hashOf('operator'), labels: { reseller: 'r1' } };
const small = {
  ...{ runtime: 'process', user: appUser, stopTimeout: '2s', scale: { max: 2 } },
  ...{ limits: { memory: '128m' }, env: { FROM_PLAN: 'yes' } },
};
const main = {
  plans: { small },
  admin: { listen: '127.0.0.1:0', tokens: [reader, writer, one, two, watcher, operator] },
};
const [path, domain] = ['/v1/apps/shop', 'shop.localhost'];
const as = (token: string | undefined, body?: unknown) => ({ token: token ?? '', body });
const command = [process.execPath, webApp];

async function start(t: Test, store: string) {
  const redis = store === 'redis' ? await startRedis(t) : undefined;
  if (store === 'redis' && !redis) return undefined;
  const installation = await install(t, { ...main, ...(redis && { cmdb: redis.url }) });
  return { ...(await startDaemon(t, installation)), installation };
}

async function changeTokens(installation: Installation, tokens: unknown) {
  const before = parse(await readFile(installation.file, 'utf8')) as object;
  await writeFile(installation.file, stringify({ ...before, admin: { listen: '127.0.0.1:0', tokens } }));
  return loadConfig(installation.file, process.env);
}

for (const store of ['lmdb', 'redis']) {
  t.test(`a token that reads changes nothing, and sees no secret (${store})`, async (t) => {
    const stand = await start(t, store);
    if (!stand) return;
    const { admin, log } = stand;
    const body = webDocument(domain, { env: { PASSWORD: 'hunter2' } });
    t.match(await callApi(admin, 'PUT', path, as('writer', body)), {
      status: 201,
      body: { source: { token: 'writer' } },
    });
    t.ok(log.some(({ audit, app }) => app === 'shop' && (audit as { by: string }).by === 'writer'));
    t.notMatch(JSON.stringify(log), /hunter2/);
    for (const token of ['reader', 'watcher']) {
      for (const [method, sent] of [
        ['PUT', body],
        ['PATCH', { idleTtl: '1m' }],
        ['DELETE', undefined],
      ] as const)
        for (const query of ['', '?dryRun=true'])
          t.match(await callApi(admin, method, path + query, as(token, sent)), {
            status: 403,
            body: { code: 'forbidden' },
          });
    }
    const seen = await callApi(admin, 'GET', path, as('reader'));
    t.match(seen, { status: 200, body: { app: { env: { PASSWORD: null } }, effective: { env: { PASSWORD: null } } } });
    for (const route of ['/v1/apps', '/v1/instances', path])
      t.notMatch((await callApi(admin, 'GET', route, as('reader'))).text, /hunter2/, route);
    const back = await callApi(admin, 'PUT', path, as('writer', seen.body['app']));
    t.match(back, { status: 422 }, 'what is hidden is not written back as if it were empty');
    t.match((await callApi(admin, 'GET', path, as('writer'))).body, { app: { env: { PASSWORD: 'hunter2' } } });
  });

  t.test(`a reseller knows only his apps, and puts none outside of his labels and terms (${store})`, async (t) => {
    const stand = await start(t, store);
    if (!stand) return;
    const { admin, port } = stand;
    const mine = '/v1/apps/mine';
    const body = { domains: 'a.r1.localhost', command, scale: { max: 50 }, env: { GREETING: 'mine' } };
    const made = await callApi(admin, 'PUT', mine, as('r1', body));
    t.match(made, { status: 201, body: { labels: { reseller: 'r1' }, plan: 'small', scale: { max: 2 } } });
    t.match(made.body, { effective: { limits: { memory: '128m' }, env: { FROM_PLAN: 'yes', GREETING: 'mine' } } });
    t.equal((await askIdentity(port, 'a.r1.localhost')).greeting, 'mine');
    t.match(await callApi(admin, 'PUT', mine, as('r1', made.body['app'])), { status: 200, body: { changes: [] } });

    await callApi(admin, 'PUT', path, as('writer', webDocument(domain)));
    for (const token of ['r2', 'watcher', 'r1']) {
      const others = token === 'r2' ? [path, mine, '/v1/apps/hello'] : [path, '/v1/apps/hello'];
      for (const other of others) {
        t.match(await callApi(admin, 'GET', other, as(token)), { status: 404, body: { code: 'unknown_app' } });
        if (token === 'watcher') continue;
        t.match(await callApi(admin, 'PATCH', other, as(token, { idleTtl: '1m' })), { status: 404 });
        t.match(await callApi(admin, 'DELETE', other, as(token)), { status: 404 });
        const taken = await callApi(admin, 'PUT', other, as(token, { domains: `x.${token}.localhost`, command }));
        t.match(taken, { status: 409, body: { code: 'name_taken' } });
        t.notMatch(taken.text, /\.yaml/, 'no path of the host');
      }
    }
    const names = async (token: string, route = '/v1/apps') =>
      (await callApi(admin, 'GET', route, as(token))).body.map(
        (it: { name: string; app: string }) => it.app ?? it.name,
      );
    t.same(await names('r1'), ['mine']);
    t.same(await names('watcher'), ['mine']);
    t.same(await names('r2'), []);
    t.same(await names('r2', '/v1/instances'), []);
    t.same(await names('r1', '/v1/instances'), ['mine']);
    t.same(await names('r2', '/v1/apps?label=reseller%3Dr1'), []);
    t.match(await callApi(admin, 'GET', '/v1/instances?app=mine', as('r2')), { status: 404 });
    for (const route of ['/metrics', '/readyz']) t.match(await callApi(admin, 'GET', route, as('r1')), { status: 403 });

    const refused: [Record<string, unknown>, RegExp][] = [
      [{ user: 'root' }, /user is not for a customer to say/],
      [{ mounts: [{ source: '/', target: '/host' }] }, /mounts/],
      [{ runtime: 'docker' }, /runtime/],
      [{ limits: { memory: 'unlimited' } }, /limits/],
      [{ plan: 'large' }, /plan/],
      [{ labels: { reseller: 'r2' } }, /labels/],
      [{ labels: { reseller: 'r1', admin: 'yes' } }, /labels/],
      [{ domains: 'shop.r2.localhost' }, /is not below \*\.r1\.localhost/],
      [{ domains: '*.r1.localhost' }, /wildcard/],
      [{ image: 'evil' }, /image is not among/],
    ];
    for (const [more, why] of refused) {
      for (const [method, sent] of [
        ['PUT', { ...body, ...more }],
        ['PATCH', more],
      ] as const)
        t.match(
          await callApi(admin, method, mine, as('r1', sent)),
          { status: 422, body: { detail: why } },
          JSON.stringify(more),
        );
    }
    const taken = await callApi(admin, 'PUT', '/v1/apps/second', as('r1', { ...body, domains: ['a.r1.localhost'] }));
    t.match(taken, { status: 409, body: { code: 'domain_taken', detail: /app mine/ } });

    t.match(
      await callApi(admin, 'PATCH', mine, as('writer', { idleTtl: '3m' })),
      { status: 200, body: { scale: { max: 2 } } },
      'an edit of the operator lifts no bound',
    );
    t.match(await callApi(admin, 'PATCH', mine, as('writer', { labels: { reseller: 'r2' } })), { status: 200 });
    t.match(await callApi(admin, 'GET', mine, as('r1')), { status: 404 });
    t.match(await callApi(admin, 'DELETE', mine, as('r2')), { status: 200 });
  });
}

t.test('a token that operates changes what runs, of its own apps, and not what an app is', async (t) => {
  const stand = await start(t, 'lmdb');
  if (!stand) return;
  const { admin } = stand;
  const mine = '/v1/apps/mine';
  await callApi(admin, 'PUT', mine, as('r1', { domains: 'a.r1.localhost', command }));
  for (const action of ['boot', 'restart', 'drain', 'stop']) {
    for (const token of ['reader', 'watcher'])
      t.match(await callApi(admin, 'POST', `${mine}/${action}`, as(token)), { status: 403 }, `${token} ${action}`);
    t.match(await callApi(admin, 'POST', `/v1/apps/hello/${action}`, as('operator')), {
      status: 404,
      body: { code: 'unknown_app' },
    });
  }
  t.match(await callApi(admin, 'POST', `${mine}/boot`, as('operator')), { status: 200, body: { state: 'ready' } });
  t.match(await callApi(admin, 'POST', `${mine}/stop`, as('operator')), { status: 200, body: { state: 'asleep' } });
  for (const [method, sent] of [['PATCH', {}], ['DELETE']] as const)
    t.match(await callApi(admin, method, mine, as('operator', sent)), { status: 403, body: { code: 'forbidden' } });
});

t.test('a token is checked in full, and one that is taken out or added counts at once', async (t) => {
  const stand = await start(t, 'lmdb');
  if (!stand) return;
  const { admin, daemon, installation, log } = stand;
  const status = async (token: string) => (await callApi(admin, 'GET', '/v1/apps', as(token))).status;
  t.equal(await status('reader'), 200);
  for (const token of ['', 'reader2', 'reade', reader.hash, hashOf('reader').slice(7), 'x'.repeat(5_000)])
    t.equal(await status(token), 401, token.slice(0, 20));
  const schemes = [{ authorization: 'Basic reader' }, { authorization: 'reader' }, { authorization: 'Bearer' }];
  for (const headers of schemes) t.equal((await callApi(admin, 'GET', '/v1/apps', { token: '', headers })).status, 401);
  await daemon.reload(await changeTokens(installation, [{ ...reader, hash: hashOf('next') }, writer]));
  t.equal(await status('reader'), 401);
  t.equal(await status('next'), 200);
  t.equal(await status('r1'), 401);
  await t.rejects(changeTokens(installation, []), /admin.token/, 'an app shares the loopback');
  await daemon.reload(await changeTokens(installation, [writer]));
  t.equal(await status('next'), 401);
  t.notMatch(JSON.stringify(log), /sha256:/);
});

t.test('on its socket the daemon asks for no token, but takes one that is sent for what it is', async (t) => {
  const installation = await install(t, {});
  const socket = join(installation.dir, 'state', 'admin.sock');
  const before = parse(await readFile(installation.file, 'utf8')) as object;
  await writeFile(installation.file, stringify({ ...before, admin: { tokens: [reader] } }));
  await startDaemon(t, installation);
  t.equal((await stat(socket)).mode & 0o777, 0o600);
  t.match(await callApi(socket, 'PUT', path, { token: '', body: webDocument(domain) }), {
    status: 201,
    body: { source: { token: 'socket' } },
  });
  t.equal((await callApi(socket, 'DELETE', path, as('reader'))).status, 403);
  t.equal((await callApi(socket, 'GET', path, as('wrong'))).status, 401);
});
