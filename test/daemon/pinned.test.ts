import t, { type Test } from 'tap';
import { openRedisCmdb } from '../../src/cmdb/redis.js';
import { pino } from 'pino';
import { isAlive, until } from '../fixtures/daemon.js';
import { testSigner } from '../fixtures/signer.js';
import { adminToken } from '../fixtures/admin.js';
import { type Machine, startMachine } from '../fixtures/machine.js';
import { startRedis } from '../fixtures/redis.js';

const mounts = [{ source: '/', target: '/data' }];

/** Two machines over one Redis, with an app whose data is local. */
async function startTwo(t: Test, spec: Record<string, unknown> = {}) {
  const redis = await startRedis(t);
  if (!redis) return undefined;
  const cmdb = { url: redis.url, name: 'pins' };
  const apps = { hello: { mounts, idleTtl: '300ms', ...spec } };
  const a = await startMachine(t, { host: 'a', address: '127.0.0.2', cmdb, apps });
  const b = await startMachine(t, { host: 'b', address: '127.0.0.3', cmdb, apps });
  return { redis, cmdb, apps, a, b };
}

t.test(
  'an app with a local mount that slept is booted by a request at another machine, on its own again',
  async (t) => {
    const two = await startTwo(t);
    if (!two) return;
    const { a, b } = two;
    const { pid } = await a.identity('hello.localhost');
    await asleep(b);
    t.match(await appAt(b), { pinnedTo: 'a' });
    const answers = await Promise.all(Array.from({ length: 20 }, () => b.identity('hello.localhost')));
    t.equal(new Set(answers.map((answer) => answer.pid)).size, 1, 'one boot for all who waited');
    t.not(answers[0]?.pid, pid);
    t.ok(logged(a, 'ready', 2));
    t.equal(logged(b, 'ready', 1), undefined);
    t.match(await instancesAt(b), [{ host: 'a', state: 'ready' }]);
  },
);

t.test('a herd over both machines boots it once', async (t) => {
  const two = await startTwo(t, { scale: { min: 0, max: 1 } });
  if (!two) return;
  const { a, b } = two;
  await endOf(await a.identity('hello.localhost'), b);
  const herd = [a, b].flatMap((machine) => Array.from({ length: 20 }, () => machine.identity('hello.localhost')));
  t.equal(new Set((await Promise.all(herd)).map(({ pid }) => pid)).size, 1);
});

t.test('where its machine has no daemon the log names it, and it boots there when that is back', async (t) => {
  const two = await startTwo(t);
  if (!two) return;
  const { a, b, cmdb, apps } = two;
  await endOf(await a.identity('hello.localhost'), b);
  await a.kill('daemon');
  await until(() => logged(b, 'these hosts have no live dispatcher', 1));
  const answer = await b.ask('hello.localhost');
  t.equal(answer.status, 503);
  t.match(answer.headers, { 'x-fastcontainer-error': 'boot_failed', 'retry-after': '10' });
  t.notMatch(answer.body, /machine a/, 'the log says why, not the answer');
  const refusal = await until(() => logged(b, 'request refused', 1));
  t.match(refusal, {
    app: 'hello',
    detail: /The data of this app is on the machine a, where no dispatcher runs/,
    cause: /pinned to a,.* start it there, or move the app/,
  });
  t.same(await instancesAt(b), []);
  const again = await startMachine(t, { host: 'a', address: '127.0.0.2', cmdb, apps });
  await until(async () => ((await b.ask('hello.localhost')).status === 200 ? true : undefined));
  t.match(await instancesAt(b), [{ host: 'a', state: 'ready' }]);
  await again.identity('hello.localhost');
});

t.test('a machine that is lost takes the instances with it, not the pin', async (t) => {
  const two = await startTwo(t, { idleTtl: '1m' });
  if (!two) return;
  const { a, b } = two;
  await a.identity('hello.localhost');
  await a.kill('all');
  await until(() => logged(b, 'the host of the instance has no live node', 1));
  t.equal((await b.ask('hello.localhost')).status, 503);
  t.match(await appAt(b), { pinnedTo: 'a', instances: {} });
});

t.test('what scale.min wants of a pinned app, and its replacement, boot on its machine', async (t) => {
  const two = await startTwo(t, { idleTtl: '1m', scale: { min: 1, max: 1 } });
  if (!two) return;
  const { a, b } = two;
  const ready = (machine: Machine) =>
    until(async () => (await instancesAt(machine)).find(({ state }) => state === 'ready'));
  const { host } = await ready(b);
  const { pid } = await b.identity('hello.localhost');
  process.kill(pid, 'SIGKILL');
  await until(async () => (isAlive(pid) ? undefined : true));
  t.not((await b.identity('hello.localhost')).pid, pid);
  t.equal((await ready(a)).host, host);
  const changed = { mounts, idleTtl: '1m', scale: { min: 1, max: 1 }, env: { A: '1' } };
  const { id } = await ready(a);
  for (const machine of [a, b]) await machine.changeApp('hello', changed);
  await until(async () => {
    const [one, more] = await instancesAt(b);
    return one && !more && one.id !== id && one.state === 'ready';
  });
  t.equal((await ready(b)).host, host);
});

t.test('shared storage pins nothing', async (t) => {
  const two = await startTwo(t, { mounts: mounts.map((mount) => ({ ...mount, shared: true })) });
  if (!two) return;
  const { a, b } = two;
  await endOf(await a.identity('hello.localhost'), b);
  await b.identity('hello.localhost');
  t.match(await instancesAt(b), [{ host: 'b' }]);
  t.notOk('pinnedTo' in (await appAt(b)));
});

t.test('a boot that nobody of its machine takes up ends in an error for those who wait', async (t) => {
  const two = await startTwo(t);
  if (!two) return;
  const { a, b, redis, cmdb } = two;
  await endOf(await a.identity('hello.localhost'), b);
  await a.kill('daemon');
  await until(() => logged(b, 'these hosts have no live dispatcher', 1));
  const deaf = await beating(t, redis.url, cmdb.name, 'a', 'another boot');
  await until(async () => {
    const answer = await b.ask('hello.localhost');
    t.equal(answer.headers['x-fastcontainer-error'], 'boot_failed');
    return b.log.find(({ cause }) => String(cause).includes('no dispatcher of a, which the app is pinned to'));
  });
  t.same(await instancesAt(b), []);
  deaf.stop();
});

t.test('a machine with the name of another one says so, and ends nothing while that lives', async (t) => {
  const two = await startTwo(t, { mounts: [] });
  if (!two) return;
  const { a, b, redis, cmdb } = two;
  const { pid } = await a.identity('hello.localhost');
  const rival = await beating(t, redis.url, cmdb.name, 'a', 'another machine');
  const line = await until(() => logged(a, 'another machine has the same node.host (a)', 1));
  t.match(line, {
    level: 50,
    host: 'a',
    rival: { bootId: 'another machine' },
    msg: /set node.host to a name of its own/,
  });
  t.equal(logged(b, 'another machine has the same', 1), undefined, 'the others have no such problem');
  t.equal((await a.identity('hello.localhost')).pid, pid, 'it goes on serving');
  rival.stop();
  await until(() => logged(a, 'no other machine has the same node.host now', 1));
  await asleep(b);
});

/** A session that beats and does nothing else, as if from a machine with another boot id. */
async function beating(t: Test, url: string, name: string, host: string, bootId: string) {
  const cmdb = openRedisCmdb({
    url,
    name,
    signer: testSigner(name),
    logger: pino({ level: 'silent' }),
    onUnreadable() {},
  });
  let [life, beats] = [0, 0];
  const beat = async () => {
    const session = { incarnation: `rival-${life}`, host, beats, process: { pid: 1, startTime: '1', bootId } };
    const { revoked } = await cmdb.beat(session).catch(() => ({ revoked: false }));
    beats += 1;
    if (revoked) [life, beats] = [life + 1, 0];
  };
  await beat();
  const timer = setInterval(() => void beat(), 200);
  const stop = () => clearInterval(timer);
  t.teardown(async () => {
    stop();
    await cmdb.close();
  });
  return { stop };
}

interface HostedInstance {
  readonly id: string;
  readonly host: string;
  readonly state: string;
}

async function get<T>({ admin }: Machine, path: string): Promise<T> {
  const response = await fetch(`${admin}${path}`, { headers: { authorization: `Bearer ${adminToken}` } });
  return (await response.json()) as T;
}

const instancesAt = (machine: Machine) => get<HostedInstance[]>(machine, '/v1/instances?app=hello');

async function appAt(machine: Machine): Promise<Record<string, unknown>> {
  return (await get<Record<string, unknown>[]>(machine, '/v1/apps'))[0] ?? {};
}

/** Its container dies; at this machine, too, nothing is left of it. */
async function endOf({ pid }: { pid: number }, machine: Machine): Promise<void> {
  process.kill(pid, 'SIGKILL');
  await until(async () => (await instancesAt(machine)).length === 0 || undefined);
}

async function asleep(machine: Machine): Promise<void> {
  await until(async () => (await instancesAt(machine)).length === 0 || undefined);
}

/** The line of that count which has this text. */
function logged({ log }: Machine, text: string, count: number) {
  return log.filter(({ msg }) => String(msg).includes(text))[count - 1];
}
