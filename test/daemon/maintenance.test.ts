import t from 'tap';
import { callApi } from '../fixtures/api.js';
import { install, startDaemon, until } from '../fixtures/daemon.js';
import { loadConfig } from '../../src/config/load-config.js';
import { ask, askIdentity, instances } from '../fixtures/request.js';
import { startRedis } from '../fixtures/redis.js';

const [path, domain] = ['/v1/apps/hello', 'hello.localhost'];
const html = { accept: 'text/html' };

t.test('an operator puts an app of a file into maintenance and out of it, warm and asleep', async (t) => {
  const installation = await install(t);
  const { admin, port, daemon, log } = await startDaemon(t, installation);
  const put = (body: object) => callApi(admin, 'PUT', `${path}/maintenance`, { body });
  const { pid } = await askIdentity(port, domain);

  const text = 'Back at <b>6</b> & "soon"';
  t.match(await put({ mode: 'page', text, retryAfter: '10m' }), {
    status: 200,
    body: {
      name: 'hello',
      maintenance: { mode: 'page', text, source: 'operator', token: 'admin' },
      takesEffect: 'now',
    },
  });
  const page = await ask(port, domain, '/', { headers: html });
  t.match(page, { status: 503, headers: { 'retry-after': '600', 'x-fastcontainer-error': 'maintenance' } });
  t.match(page.body, /Back at &#60;b&#62;6&#60;\/b&#62; &#38; &#34;soon&#34;/, 'escaped');
  const json = await ask(port, domain, '/', { headers: { accept: 'application/json' } });
  t.equal(JSON.parse(json.body).detail, text);
  t.match(await callApi(admin, 'GET', path), { body: { maintenance: 'page', state: 'ready' } });
  t.match(
    await put({ mode: 'page', text, retryAfter: '10m' }),
    { body: { takesEffect: undefined } },
    'it is so already',
  );

  await installation.writeApp('hello', { idleTtl: '9m' });
  await daemon.reload(await loadConfig(installation.file, process.env));
  t.equal((await ask(port, domain)).status, 503, 'a change of its file does not end it');
  await callApi(admin, 'POST', `${path}/stop`);
  t.equal((await ask(port, domain)).status, 503);
  t.same(await instances(admin, 'hello'), [], 'no request woke it');

  t.match(await put({ mode: 'off' }), { body: { maintenance: { mode: 'off', source: 'operator' } } });
  t.not((await askIdentity(port, domain)).pid, pid);
  t.match(await callApi(admin, 'DELETE', `${path}/maintenance`), { body: { maintenance: { source: 'app' } } });
  t.equal(log.filter(({ msg }) => String(msg).startsWith('audit: admin did maintenance app hello')).length, 3);
  for (const [body, why] of [
    [{}, /mode is required/],
    [{ mode: 'on' }, /mode must be off, page or hold/],
    [{ mode: 'page', text: 'x'.repeat(2_001) }, /text/],
    [{ mode: 'hold', limit: '1h' }, /limit/],
  ] as const)
    t.match(
      await put(body),
      { status: 422, body: { code: 'invalid_app', detail: why } },
      JSON.stringify(body).slice(0, 40),
    );
  t.equal((await ask(port, domain)).status, 200);
});

t.test('requests are held until maintenance ends, or their limit, and reach the app then', async (t) => {
  const redis = await startRedis(t);
  if (!redis) return;
  const maintenance = { mode: 'hold', limit: '4m' };
  const installation = await install(t, { cmdb: redis.url }, { hello: { maintenance, queue: { max: 3 } } });
  const { admin, port, log } = await startDaemon(t, installation);
  const held = [1, 2, 3].map(() => ask(port, domain));
  await until(async () => /fastcontainer_queue_length\{app="hello"\} 3/.test(await metrics(admin)) || undefined);
  const full = await ask(port, domain);
  t.equal(full.headers['x-fastcontainer-error'], 'queue_full', 'as many wait as may');
  t.notOk(
    log.some(({ msg }) => msg === 'booting'),
    'none of them wakes it',
  );
  await callApi(admin, 'PUT', `${path}/maintenance`, { body: { mode: 'off' } });
  for (const answer of await Promise.all(held)) t.equal(answer.status, 200);

  await callApi(admin, 'PUT', `${path}/maintenance`, { body: { mode: 'hold', limit: '1s' } });
  const late = await ask(port, domain);
  t.match(late, { status: 503, headers: { 'x-fastcontainer-error': 'maintenance' } }, 'its limit is over');
  await callApi(admin, 'PUT', `${path}/maintenance`, { body: { mode: 'hold', limit: '4m' } });
  const waits = ask(port, domain);
  await until(async () => /fastcontainer_queue_length\{app="hello"\} 1/.test(await metrics(admin)) || undefined);
  await callApi(admin, 'PUT', `${path}/maintenance`, { body: { mode: 'page' } });
  t.match(
    await waits,
    { status: 503, headers: { 'x-fastcontainer-error': 'maintenance' } },
    'a page answers them, too',
  );
});

async function metrics(admin: string): Promise<string> {
  return (await callApi(admin, 'GET', '/metrics')).text;
}
