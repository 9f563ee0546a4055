import t from 'tap';
import { callApi } from '../fixtures/api.js';
import { install, isAlive, startDaemon, until } from '../fixtures/daemon.js';
import { hold } from '../fixtures/held-request.js';
import { startLoad } from '../fixtures/load.js';
import { startMachine } from '../fixtures/machine.js';
import { ask, askIdentity, instances } from '../fixtures/request.js';
import { startRedis } from '../fixtures/redis.js';

const [path, domain] = ['/v1/apps/hello', 'hello.localhost'];

t.test('an app is booted, drained, restarted and stopped by API, also one of a file', async (t) => {
  const { admin, port, log } = await startDaemon(t, await install(t));
  const operate = (action: string) => callApi(admin, 'POST', `${path}/${action}`);

  const booted = await operate('boot');
  t.match(booted, { status: 200, body: { name: 'hello', state: 'ready', done: true } });
  const first = await askIdentity(port, domain);
  t.same(booted.body['instances'], [first.instance], 'the request found it ready');
  t.match(await operate('boot'), { status: 200, body: { instances: [first.instance] } }, 'it is up already');

  const held = hold(port, domain);
  t.equal(await held.status, 200);
  t.match(await operate('drain'), { status: 202, body: { instances: [first.instance], done: false } });
  const second = await askIdentity(port, domain);
  t.not(second.instance, first.instance, 'nothing new is sent to an instance that drains');
  t.ok(isAlive(first.pid), 'what was under way goes on');
  held.end();
  await until(() => !isAlive(first.pid) || undefined);

  const load = startLoad(t, port, domain);
  await until(() => load.soFar.requests > 50 || undefined);
  const restarted = await operate('restart');
  t.match(restarted, { status: 200, body: { state: 'ready', instances: [second.instance], done: true } });
  await until(() => !isAlive(second.pid) || undefined);
  const { failures, cold } = await load.stop();
  t.same([failures, cold], [[], 0], 'no request noticed');

  const third = await askIdentity(port, domain);
  t.match(await operate('stop'), { status: 200, body: { state: 'asleep', instances: [third.instance], done: true } });
  t.notOk(isAlive(third.pid));
  t.match(await operate('stop'), { status: 200, body: { instances: [], done: true } });
  t.match(await operate('drain'), { status: 200, body: { instances: [], done: true } });
  t.match(await operate('restart'), { status: 200, body: { instances: [], done: true } });
  t.equal((await ask(port, domain)).status, 200, 'the next request wakes it');
  const audited = log.filter(({ msg }) => /^audit: admin did \w+ app hello$/.test(String(msg)));
  t.same(
    audited.map(({ audit }) => (audit as { action: string }).action),
    ['boot', 'drain', 'restart', 'stop'],
    'what changed nothing is not noted',
  );
});

t.test('a boot that fails is answered with its error, and the next call tries at once', async (t) => {
  const installation = await install(t, {}, { hello: { env: { EXIT_AT_BOOT: 'no licence' } } });
  const { admin, log } = await startDaemon(t, installation);
  const boot = () => callApi(admin, 'POST', `${path}/boot`);
  t.match(await boot(), { status: 502, body: { code: 'boot_failed', detail: /did not boot: .*exit code 3/ } });
  t.match(await boot(), { status: 502 }, 'whatever back-off there is');
  t.equal(log.filter(({ msg }) => msg === 'booting').length, 2);
});

t.test('a stop breaks off a boot, and answers the requests that wait for it', async (t) => {
  const installation = await install(t, {}, { hello: { env: { BOOT_DELAY_MS: '600000' } } });
  const { admin, port, log } = await startDaemon(t, installation);
  const waiting = ask(port, domain);
  await until(() => log.some(({ msg }) => msg === 'booting') || undefined);
  const begun = await callApi(admin, 'POST', `${path}/boot?wait=false`);
  t.match(begun, { status: 202, body: { state: 'booting', done: false } });
  const awaited = callApi(admin, 'POST', `${path}/boot`);
  t.match(await callApi(admin, 'POST', `${path}/stop`), {
    status: 200,
    body: { state: 'asleep', instances: begun.body['instances'], done: true },
  });
  t.match(await waiting, { status: 503, headers: { 'x-fastcontainer-error': 'boot_failed' } });
  t.match(await awaited, { status: 502, body: { code: 'boot_failed', detail: /broken off/ } });
  t.same(await instances(admin, 'hello'), []);
});

t.test('a daemon that closes does not wait for those who wait for a boot', async (t) => {
  const installation = await install(t, {}, { hello: { env: { BOOT_DELAY_MS: '600000' } } });
  const { admin, daemon, log } = await startDaemon(t, installation);
  const awaited = callApi(admin, 'POST', `${path}/boot`);
  await until(() => log.some(({ msg }) => msg === 'booting') || undefined);
  await daemon.close();
  t.ok([202, 502, 503].includes((await awaited).status));
});

t.test('an operation holds at every machine, whichever is asked', async (t) => {
  const redis = await startRedis(t);
  if (!redis) return;
  const cmdb = { url: redis.url, name: 'operations' };
  const apps = { hello: { scale: { max: 2 } } };
  const a = await startMachine(t, { host: 'a', address: '127.0.0.2', cmdb, apps });
  const b = await startMachine(t, { host: 'b', address: '127.0.0.3', cmdb, apps });
  t.match(await callApi(b.admin, 'POST', `${path}/boot`), { status: 200 });
  const { pid, instance } = await a.identity(domain);
  t.match(await instances(a.admin, 'hello'), [{ host: 'b', cause: 'operator' }], 'it boots where it was asked for');
  t.match(await callApi(a.admin, 'POST', `${path}/restart`), { status: 200, body: { instances: [instance] } });
  await until(() => !isAlive(pid) || undefined);
  const next = await a.identity(domain);
  t.not(next.instance, instance);
  t.match(await callApi(a.admin, 'POST', `${path}/stop`), { status: 200, body: { done: true } });
  t.notOk(isAlive(next.pid));
  t.equal((await b.ask(domain)).status, 200);

  const nodes = async () => (await callApi(b.admin, 'GET', '/v1/nodes')).body as unknown as Record<string, unknown>[];
  t.match(await nodes(), [
    { host: 'a', state: 'alive', pid: a.child.pid, runtimes: { process: String } },
    { host: 'b', state: 'alive', pid: b.child.pid },
  ]);
  a.child.kill('SIGSTOP');
  await until(async () => (await nodes())[0]?.['state'] === 'silent' || undefined);
  a.child.kill('SIGCONT');
});
