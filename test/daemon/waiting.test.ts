import { request } from 'node:http';
import t from 'tap';
import { install, startDaemon, until } from '../fixtures/daemon.js';
import { ask, askIdentity, instances } from '../fixtures/request.js';

const hello = 'hello.localhost';
const browser = { headers: { accept: 'text/html,*/*;q=0.8', 'sec-fetch-mode': 'navigate' } };
const path = '/.well-known/fastcontainer/waiting';
const follow = (port: number) => ask(port, hello, path, { headers: { accept: 'text/event-stream' } });

t.test('a browser gets a page at once, and enters the app when the page has learnt that it is ready', async (t) => {
  const apps = { hello: { waiting: 'page', env: { BOOT_DELAY_MS: '1500' } } };
  const { port, log } = await startDaemon(t, await install(t, {}, apps));
  t.match(await follow(port), { status: 200, body: /event: asleep\n/ }, 'a page that was left open wakes nothing');
  t.notOk(log.some(({ msg }) => msg === 'booting'));
  const page = await ask(port, hello, '/shop?a=b', browser);
  t.match(page, {
    status: 503,
    headers: {
      'x-fastcontainer-error': 'app_booting',
      'retry-after': '2',
      'cache-control': 'no-store',
      'content-type': 'text/html; charset=utf-8',
    },
    body: new RegExp(`EventSource\\('${path}'\\)`),
  });
  t.match(page.headers['content-security-policy'], /default-src 'none'/);
  // A closed one does not end the boot.
  const gone = request({ port, path, headers: { host: hello }, agent: false });
  gone.on('error', () => {});
  gone.end();
  gone.destroy();
  const [told, held, again] = await Promise.all([
    follow(port),
    askIdentity(port, hello),
    ask(port, hello, '/', browser),
  ]);
  t.match(told, { status: 200, headers: { 'content-type': 'text/event-stream', 'cache-control': 'no-store' } });
  t.match(told.body, /^: waiting\n\n[^]*event: ready\ndata: \.\n\n$/);
  t.equal(held.greeting, 'hello', 'another request waited');
  t.equal(again.status, 503);
  t.equal((await ask(port, hello, '/', browser)).status, 200);
  t.match(await follow(port), { status: 200, body: /event: ready\n/ }, 'the path is ours as long as the app runs, too');
  t.equal(log.filter(({ msg }) => msg === 'booting').length, 1);
});

t.test('the page alone boots the app, and takes no place of it', async (t) => {
  const apps = { hello: { waiting: 'page', concurrency: { max: 1 } } };
  const { port, admin } = await startDaemon(t, await install(t, {}, apps));
  t.equal((await ask(port, hello, '/', browser)).status, 503);
  await until(async () => (await instances(admin, 'hello'))[0]?.state === 'ready');
  await until(async () => (await instances(admin, 'hello'))[0]?.inflight === 0);
  t.equal((await ask(port, hello, '/', browser)).status, 200);
});

t.test('a boot that fails is told to the page that is open, and to who comes then', async (t) => {
  const apps = { hello: { waiting: 'page', env: { EXIT_AT_BOOT: 'no licence' } } };
  const { port, log } = await startDaemon(t, await install(t, {}, apps));
  t.match(await ask(port, hello, '/', browser), { status: 503, headers: { 'x-fastcontainer-error': 'app_booting' } });
  const { body } = await follow(port);
  // The boot may have failed before the page asked.
  if (!body.includes('event: asleep')) {
    const [, reference] =
      /event: failed\ndata: The app could not be started\. Try again later\. Reference: (\w+)\n/.exec(body) ?? [];
    t.ok(
      log.find((line) => line['reference'] === reference && line['code'] === 'boot_failed'),
      body,
    );
  }
  await until(async () => {
    const next = await ask(port, hello, '/', browser);
    return next.headers['x-fastcontainer-error'] === 'boot_failed' && next.body.includes('could not be started');
  });
});
