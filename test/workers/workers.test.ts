import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { rm, writeFile } from 'node:fs/promises';
import { Agent } from 'node:http';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { isAlive, until } from '../fixtures/daemon.js';
import { freePort, startRedis } from '../fixtures/redis.js';
import { ask, askIdentity, instances } from '../fixtures/request.js';
import { installWorkers, script, spawnWorkers, terminate, workersOf } from './spawn-workers.js';

const host = 'hello.localhost';

function many<T>(count: number, run: () => Promise<T>): Promise<T[]> {
  return Promise.all(Array.from({ length: count }, run));
}

async function metric(admin: string, pattern: RegExp): Promise<number> {
  const text = await (await fetch(`${admin}/metrics`)).text();
  const lines = text.split('\n').filter((line) => pattern.test(line));
  return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0);
}

const completed = /^fastcontainer_requests_total\{.*outcome="complete"/;

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
  t.match(await (await fetch(`${daemon.admin}/readyz`)).json(), {
    status: 'ready',
    checks: { workers: { ok: true }, cmdb: { ok: true }, apps: { ok: true }, serving: { ok: true } },
  });
  t.equal(await terminate(daemon), 0);
  t.notOk(isAlive(pid), '--stop-apps ended it');
});

t.test('a worker killed with -9 loses only what it carried, and is replaced', async (t) => {
  const daemon = await spawnWorkers(t, await installWorkers(t), '--stop-apps');
  const { pid } = await askIdentity(daemon.port, host);
  await many(10, () => ask(daemon.port, host));
  const slow = many(10, () =>
    ask(daemon.port, host, '/slow?ms=4000').then(
      ({ status }) => status,
      () => 0,
    ),
  );
  await until(async () => (await instances(daemon.admin, 'hello'))[0]?.inflight === 10 || undefined);
  const [victim = 0] = await workersOf(daemon);
  process.kill(victim, 'SIGKILL');
  const meanwhile = await many(50, () => ask(daemon.port, host));
  t.ok(
    meanwhile.every(({ status }) => status === 200),
    'new requests do not notice',
  );
  const outcomes = await slow;
  const lost = outcomes.filter((status) => status === 0).length;
  t.ok(lost > 0 && lost < 10, `its own ones are lost (${lost} of 10)`);
  t.equal(outcomes.filter((status) => status === 200).length, 10 - lost);
  await until(() => daemon.log.find(({ msg }) => msg === 'the replacement of a worker serves'));
  const users = async () => (await instances(daemon.admin, 'hello')) as unknown as { users: { session: string }[] }[];
  const before = (await users())[0]?.users.map(({ session }) => session) ?? [];
  await until(async () => {
    await many(10, () => ask(daemon.port, host));
    const now = (await users())[0]?.users.map(({ session }) => session) ?? [];
    return (now.length === 2 && (before.length === 2 || now.some((session) => !before.includes(session)))) || undefined;
  });
  t.equal((await askIdentity(daemon.port, host)).pid, pid, 'the container runs on');
  t.equal(await metric(daemon.admin, /^fastcontainer_worker_replacements_total\{reason="died"\}/), 1);
  t.ok((await metric(daemon.admin, completed)) > 0);
  t.equal(await terminate(daemon), 0);
  t.notOk(isAlive(pid), 'though one of its users was killed');
});

t.test('a worker that stands still is found, reported, killed and replaced, and no request waits for it', async (t) => {
  const daemon = await spawnWorkers(t, await installWorkers(t), '--stop-apps');
  await askIdentity(daemon.port, host);
  await many(10, () => ask(daemon.port, host));
  const counted = await metric(daemon.admin, completed);
  const [frozen = 0, other] = await workersOf(daemon);
  process.kill(frozen, 'SIGSTOP');
  const answers = many(40, () => ask(daemon.port, host));
  const readiness = await until(async () => {
    const response = await fetch(`${daemon.admin}/readyz`);
    return response.status === 503 ? await response.text() : undefined;
  });
  t.match(readiness, new RegExp(`worker \\d \\(pid ${frozen}\\) does not answer`));
  t.equal(await metric(daemon.admin, /^fastcontainer_worker_up\{/), 1, 'the metrics do not wait for it');
  t.ok((await metric(daemon.admin, completed)) >= counted, 'and what it counted stays in the sums');
  t.ok(
    (await answers).every(({ status }) => status === 200),
    'the connection it was given is handed on',
  );
  await until(() => daemon.log.find(({ msg }) => msg === 'the replacement of a worker serves'));
  t.equal(await metric(daemon.admin, /^fastcontainer_worker_replacements_total\{reason="unresponsive"\}/), 1);
  t.ok((await workersOf(daemon)).includes(other ?? 0), 'the other one stayed');
  await until(async () => (await fetch(`${daemon.admin}/readyz`)).ok || undefined);
  t.equal(await terminate(daemon), 0);
});

async function herd(t: Test, main: Record<string, unknown>): Promise<void> {
  const daemon = await spawnWorkers(t, await installWorkers(t, main), '--stop-apps');
  const agent = new Agent({ maxSockets: Infinity });
  const answers = await many(1_000, () => ask(daemon.port, host, '/', { agent }));
  agent.destroy();
  t.equal(answers.filter(({ status }) => status === 200).length, 1_000);
  t.equal(daemon.log.filter(({ msg }) => msg === 'booting').length, 1);
  t.equal(await terminate(daemon), 0);
}

t.test('a herd of 1,000 over two workers boots once', async (t) => {
  await t.test('on lmdb', (t) => herd(t, {}));
  const redis = await startRedis(t);
  if (redis) await t.test('on redis', (t) => herd(t, { cmdb: redis.url }));
});

t.test('a reload is decided once and holds in every worker, also in one that starts later', async (t) => {
  const installation = await installWorkers(t);
  const daemon = await spawnWorkers(t, installation, '--stop-apps');
  await installation.writeApp('hello', { domains: [host, 'other.localhost'] });
  await until(() => daemon.log.find(({ msg }) => /^configuration reloaded/.test(String(msg))));
  const served = await many(20, () => ask(daemon.port, 'other.localhost'));
  t.ok(served.every(({ status }) => status === 200));
  await installation.writeApp('hello', { idleTTL: '5m' });
  const error = await until(() => daemon.log.find(({ msg }) => /not reloaded/.test(String(msg))));
  t.match(error, { msg: /hello\.yaml:\d+ .*idleTTL/ });
  for (const pid of await workersOf(daemon)) process.kill(pid, 'SIGKILL');
  await until(
    () => daemon.log.filter(({ msg }) => msg === 'the replacement of a worker serves').length === 2 || undefined,
  );
  const later = await many(20, () => ask(daemon.port, 'other.localhost').catch(() => undefined));
  t.ok(
    later.every((answer) => answer?.status === 200),
    'what was in force before the bad file',
  );
  t.equal(daemon.log.filter(({ msg }) => /^configuration reloaded/.test(String(msg))).length, 1);
  t.equal(await terminate(daemon), 0);
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

t.test('a supervisor killed with -9 takes its workers along, not their requests nor the containers', async (t) => {
  const installation = await installWorkers(t);
  const first = await spawnWorkers(t, installation);
  const { pid, instance } = await askIdentity(first.port, host);
  const slow = many(4, () => ask(first.port, host, '/slow?ms=2500'));
  await until(async () => (await instances(first.admin, 'hello'))[0]?.inflight === 4 || undefined);
  const workers = await workersOf(first);
  first.child.kill('SIGKILL');
  await once(first.child, 'exit');
  t.ok(
    (await slow).every(({ status }) => status === 200),
    'what was under way is finished',
  );
  await until(() => !workers.some(isAlive) || undefined);
  t.ok(isAlive(pid), 'the container outlives them');
  const second = await spawnWorkers(t, installation, '--stop-apps');
  t.match(await askIdentity(second.port, host), { pid, instance });
  t.equal(await terminate(second), 0);
  t.notOk(isAlive(pid));
});

t.test('a daemon whose workers cannot start ends with an error that says why', async (t) => {
  const port = await freePort();
  const first = await spawnWorkers(t, await installWorkers(t, { listen: { http: `127.0.0.1:${port}` } }));
  const second = await installWorkers(t, { listen: { http: `127.0.0.1:${port}` } });
  const child = spawn(process.execPath, [script, second.file], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  t.equal(code, 1);
  t.match(output, new RegExp(`cannot listen on 127\\.0\\.0\\.1:${port}: it is in use`));
  t.equal(await terminate(first), 0);
});

t.test('a daemon whose workers all end and cannot be replaced gives up', async (t) => {
  const installation = await installWorkers(t);
  const daemon = await spawnWorkers(t, installation);
  const records = join(installation.dir, 'state', 'process', 'instances');
  await rm(records, { recursive: true });
  await writeFile(records, 'no directory');
  const exited = once(daemon.child, 'exit') as Promise<[number | null]>;
  for (const pid of await workersOf(daemon)) process.kill(pid, 'SIGKILL');
  t.equal((await exited)[0], 1);
  t.ok(daemon.log.some(({ level, msg }) => level === 'fatal' && /no worker stays alive/.test(String(msg))));
  t.ok(
    daemon.log.some(({ msg }) => /a worker cannot start: .*ENOTDIR|EEXIST/.test(String(msg))),
    'and says why',
  );
});
