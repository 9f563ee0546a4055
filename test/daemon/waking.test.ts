import { readFile, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import t from 'tap';
import { loadConfig } from '../../src/config/load-config.js';
import { install, startDaemon, until } from '../fixtures/daemon.js';
import { sendRaw } from '../fixtures/raw.js';
import { ask, askIdentity, instances } from '../fixtures/request.js';

t.test('a request to a sleeping domain is answered by a process that it booted', async (t) => {
  const { port, admin } = await startDaemon(t, await install(t));
  const cold = await ask(port, 'hello.localhost');
  t.equal(cold.status, 200);
  t.match(cold.headers['server-timing'], /lookup;dur=.*queue;dur=.*start;dur=.*ready;dur=.*ttfb;dur=/);
  const warm = await ask(port, 'HELLO.localhost.:80');
  t.equal(warm.headers['server-timing'], undefined);
  t.equal(JSON.parse(warm.body).pid, JSON.parse(cold.body).pid);
  t.match(await instances(admin, 'hello'), [{ app: 'hello', state: 'ready', inflight: 0 }]);
});

t.test('a wildcard domain leads to its app, an exact one wins, and deeper names are unknown', async (t) => {
  const installation = await install(
    t,
    {},
    {
      wild: { domains: ['*.shop.localhost'], env: { GREETING: 'wild' } },
      exact: { domains: ['www.shop.localhost'], env: { GREETING: 'exact' } },
    },
  );
  const { port } = await startDaemon(t, installation);
  t.match(await askIdentity(port, 'any.shop.localhost'), { greeting: 'wild' });
  t.match(await askIdentity(port, 'www.shop.localhost'), { greeting: 'exact' });
  t.match(await ask(port, 'a.b.shop.localhost'), {
    status: 404,
    headers: { 'x-fastcontainer-error': 'unknown_domain' },
  });
  t.match(await ask(port, 'shop.localhost'), { status: 404 });
});

t.test('an unknown domain boots nothing and is answered by Accept', async (t) => {
  const { port } = await startDaemon(t, await install(t));
  const json = await ask(port, 'nobody.localhost', '/', { headers: { accept: 'application/json' } });
  t.match(json, { status: 404, headers: { 'content-type': /^application\/problem\+json/ } });
  t.match(JSON.parse(json.body), { status: 404, code: 'unknown_domain' });
  t.match(await ask(port, 'nobody.localhost', '/', { headers: { accept: 'text/html' } }), {
    headers: { 'content-type': /^text\/html/ },
  });
});

t.test(
  'an app that dies while it boots fails the boot at once, and the answer is cached while the breaker is open',
  async (t) => {
    const installation = await install(t, {}, { broken: { env: { EXIT_AT_BOOT: 'no database' } } });
    const { port, log } = await startDaemon(t, installation);
    const first = await ask(port, 'broken.localhost');
    t.match(first, { status: 503, headers: { 'x-fastcontainer-error': 'boot_failed', 'retry-after': /^\d+$/ } });
    t.notMatch(first.body, /database/, 'clients are not told the inside');
    const failure = await until(() => log.find(({ msg }) => msg === 'the boot failed'));
    t.match(failure, { app: 'broken', cause: /exit code 3/, output: /refusing to start: no database/ });
    t.match(await ask(port, 'broken.localhost'), { status: 503, headers: { 'x-fastcontainer-error': 'boot_failed' } });
    t.equal(log.filter(({ msg }) => msg === 'booting').length, 1, 'the second request booted nothing');
  },
);

t.test("an upgrade that is refused carries the app's own headers, and the body that the client accepts", async (t) => {
  const broken = { env: { EXIT_AT_BOOT: 'no database' }, errorHeaders: { 'Access-Control-Allow-Origin': '*' } };
  const { port } = await startDaemon(t, await install(t, {}, { broken }));
  const answer = await sendRaw(
    port,
    'GET /ws HTTP/1.1\r\nHost: broken.localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
      'Sec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\nAccept: text/html\r\n\r\n',
    60_000,
  );
  t.match(
    answer,
    /^HTTP\/1\.1 503 .*\r\nAccess-Control-Allow-Origin: \*\r\n.*x-fastcontainer-error: boot_failed.*<!doctype html>/s,
  );
});

t.test('an app that never listens ends in boot_timeout and is cleaned up', async (t) => {
  const installation = await install(t, {}, { slow: { env: { BOOT_DELAY_MS: '600000' }, bootTimeout: '5s' } });
  const { port, admin, log } = await startDaemon(t, installation);
  t.match(await ask(port, 'slow.localhost'), { status: 504, headers: { 'x-fastcontainer-error': 'boot_timeout' } });
  await until(async () => (await instances(admin, 'slow')).length === 0);
  t.match(
    log.find(({ msg }) => msg === 'the boot failed'),
    { cause: /nothing accepted connections/ },
  );
});

t.test('the log names what an app listens on that cannot be reached at its own address', async (t) => {
  const command = [process.execPath, resolve('test/fixtures/apps/gap.mjs')];
  const apart = { command, bootTimeout: '10s' };
  const apps = { inward: { ...apart, env: { LISTEN_ON: '::1' } }, moved: { ...apart, env: { LISTEN_AT: '1' } } };
  const { port, log } = await startDaemon(t, await install(t, {}, apps));
  await Promise.all(Object.keys(apps).map((name) => ask(port, `${name}.localhost`)));
  const causeOf = (name: string) =>
    String(log.find((line) => line['msg'] === 'the boot failed' && line['app'] === name)?.['cause']);
  await until(() => causeOf('inward') !== 'undefined' && causeOf('moved') !== 'undefined');
  t.match(
    causeOf('inward'),
    /\(127\.0\.0\.1:(\d+) from here\); it listens on \[::1\]:\1; let it listen on HOST and PORT/,
  );
  t.match(causeOf('moved'), /it listens on 127\.0\.0\.1:\d+; let it/);
});

t.test('after the back-off a mended app boots again', async (t) => {
  const installation = await install(t, {}, { broken: { env: { EXIT_AT_BOOT: 'typo' } } });
  const { daemon, port } = await startDaemon(t, installation);
  t.equal((await ask(port, 'broken.localhost')).status, 503);
  await installation.writeApp('broken', {});
  const { loadConfig } = await import('../../src/config/load-config.js');
  await daemon.reload(await loadConfig(installation.file, process.env));
  await until(async () => (await ask(port, 'broken.localhost')).status === 200);
});

t.test('beyond queue.max requests are refused, and those within it are answered', async (t) => {
  const installation = await install(
    t,
    {},
    {
      small: { env: { BOOT_DELAY_MS: '500' }, queue: { max: 2 }, concurrency: { target: 1, max: 1 } },
    },
  );
  const { port } = await startDaemon(t, installation);
  const answers = await Promise.all([1, 2, 3, 4].map(() => ask(port, 'small.localhost')));
  t.same(answers.map(({ status }) => status).toSorted(), [200, 200, 503, 503]);
  t.match(answers.find(({ status }) => status === 503)?.headers, {
    'x-fastcontainer-error': 'queue_full',
    'retry-after': '1',
  });
});

t.test('clients that go while the app boots leave nothing, and the boot goes on for the others', async (t) => {
  const installation = await install(t, {}, { hello: { env: { BOOT_DELAY_MS: '300' } } });
  const { port, admin } = await startDaemon(t, installation);
  const { connect } = await import('node:net');
  const gone = Array.from({ length: 20 }, () => connect(port, '127.0.0.1'));
  for (const socket of gone) socket.write('GET / HTTP/1.1\r\nHost: hello.localhost\r\n\r\n');
  const stays = ask(port, 'hello.localhost');
  for (const socket of gone) socket.destroy();
  t.equal((await stays).status, 200);
  await until(async () => (await instances(admin, 'hello'))[0]?.inflight === 0);
});

t.test('an engine that is not there fails the boot with what to do, and leaves nothing', async (t) => {
  const runtimes = { docker: { socketPath: '/nowhere/docker.sock' } };
  const installation = await install(t, { runtimes }, { dock: { runtime: 'docker', image: 'hello:1' }, hello: {} });
  const { port, admin, log } = await startDaemon(t, installation);
  t.match(await ask(port, 'dock.localhost'), { status: 503, headers: { 'x-fastcontainer-error': 'boot_failed' } });
  t.match(await until(() => log.find(({ msg }) => msg === 'the boot failed')), {
    app: 'dock',
    cause: /\/nowhere\/docker\.sock does not exist; start it/,
  });
  await until(async () => (await instances(admin, 'dock')).length === 0);
  t.equal((await ask(port, 'hello.localhost')).status, 200, 'other apps do not notice');
});

t.test('runtimes.docker that changed holds from the next start, also for the first app that needs it', async (t) => {
  const runtimes = (name: string) => ({ docker: { socketPath: `/nowhere/${name}.sock` } });
  const installation = await install(t, { runtimes: runtimes('old') }, { hello: {} });
  const { daemon, port, log } = await startDaemon(t, installation);
  await writeFile(
    installation.file,
    (await readFile(installation.file, 'utf8')).replace('/nowhere/old.sock', '/nowhere/new.sock'),
  );
  await installation.writeApp('dock', { runtime: 'docker', image: 'hello:1' });
  const next = await loadConfig(installation.file, process.env);
  await daemon.reload(next);
  t.match(await ask(port, 'dock.localhost'), { status: 503, headers: { 'x-fastcontainer-error': 'boot_failed' } });
  t.match(await until(() => log.find(({ msg }) => msg === 'the boot failed')), { cause: /\/nowhere\/old\.sock/ });
});
