import t, { type Test } from 'tap';
import { isAlive, until } from '../fixtures/daemon.js';
import { adminToken } from '../fixtures/admin.js';
import { type Machine, startMachine } from '../fixtures/machine.js';
import { metric } from '../fixtures/metric.js';
import { startRedis } from '../fixtures/redis.js';

/** Two machines over one Redis, told apart by loopback addresses. */
async function startTwo(t: Test, apps: Record<string, Record<string, unknown>> = { hello: {} }) {
  const redis = await startRedis(t);
  if (!redis) return undefined;
  const cmdb = { url: redis.url, name: 'hosts' };
  const a = await startMachine(t, { host: 'a', address: '127.0.0.2', cmdb, apps });
  const b = await startMachine(t, { host: 'b', address: '127.0.0.3', cmdb, apps });
  return { redis, a, b };
}

t.test('requests that arrive at one machine are served by the instance of another', async (t) => {
  const two = await startTwo(t);
  if (!two) return;
  const { a, b } = two;
  const there = await a.identity('hello.localhost');
  t.match(await b.identity('hello.localhost'), { pid: there.pid, instance: there.instance });
  t.match(await instancesAt(b), [{ host: 'a', address: /^127\.0\.0\.2:/, state: 'ready', users: { length: 2 } }]);
});

t.test('an instance that only another machine used ends idle, by its own machine', async (t) => {
  const two = await startTwo(t, { hello: { idleTtl: '500ms' } });
  if (!two) return;
  const { a, b } = two;
  const { pid } = await a.identity('hello.localhost');
  await b.identity('hello.localhost');
  await until(async () => (await instancesAt(b)).length === 0 || undefined);
  t.notOk(isAlive(pid));
  await until(() => logged(a, 'terminated'));
  t.notOk(logged(b, 'terminated'));
});

t.test('a container that died on a live machine is booted again for a request that arrives at another', async (t) => {
  const two = await startTwo(t);
  if (!two) return;
  const { a, b } = two;
  const { pid } = await a.identity('hello.localhost');
  await b.identity('hello.localhost');
  process.kill(pid, 'SIGKILL');
  const after = await b.identity('hello.localhost');
  t.not(after.pid, pid);
});

t.test('a machine whose daemon died goes on serving through the others', async (t) => {
  const two = await startTwo(t);
  if (!two) return;
  const { a, b } = two;
  const { pid } = await a.identity('hello.localhost');
  await a.kill('daemon');
  t.match(await b.identity('hello.localhost'), { pid });
  await until(() => logged(b, 'these hosts have no live dispatcher'));
  t.match(await b.identity('hello.localhost'), { pid }, 'its container answers: nothing is lost');
  t.match(await instancesAt(b), [{ host: 'a', state: 'ready' }]);
});

t.test('a machine that is lost with its containers costs no request: they are booted elsewhere', async (t) => {
  const two = await startTwo(t, { hello: {}, idle: {} });
  if (!two) return;
  const { a, b } = two;
  const { pid } = await a.identity('hello.localhost');
  await b.identity('hello.localhost');
  const idle = await a.identity('idle.localhost');
  await a.kill('all');
  const answers = await Promise.all(Array.from({ length: 20 }, () => b.identity('hello.localhost')));
  t.equal(new Set(answers.map((answer) => answer.pid)).size, 1, 'one boot for all who waited');
  t.not(answers[0]?.pid, pid);
  t.match(await instancesAt(b), [{ host: 'b', state: 'ready' }]);
  await until(() => logged(b, 'the host of the instance has no live node', { app: 'idle' }));
  t.not((await b.identity('idle.localhost')).pid, idle.pid);
  t.equal(await metric(b.admin, 'fastcontainer_lost_instances_total{runtime="process"}', adminToken), 2);
});

t.test('what scale.min wants of a lost machine is booted elsewhere without being asked for', async (t) => {
  const two = await startTwo(t, { hello: { scale: { min: 1, max: 1 } } });
  if (!two) return;
  const { a, b } = two;
  await until(async () => (await instancesAt(b))[0]?.state === 'ready' || undefined);
  const [first] = await instancesAt(b);
  const { pid } = await b.identity('hello.localhost');
  const [gone, left] = first?.host === 'a' ? [a, b] : [b, a];
  await gone.kill('daemon');
  process.kill(pid, 'SIGKILL');
  await until(async () => {
    const [next] = await instancesAt(left);
    return next?.host === left.host && next.state === 'ready';
  });
  t.not((await left.identity('hello.localhost')).pid, pid);
});

interface HostedInstance {
  readonly host: string;
  readonly state: string;
}

async function instancesAt({ admin }: Machine, app = 'hello'): Promise<HostedInstance[]> {
  const response = await fetch(`${admin}/v1/instances?app=${app}`, {
    headers: { authorization: `Bearer ${adminToken}` },
  });
  return (await response.json()) as HostedInstance[];
}

function logged({ log }: Machine, text: string, fields: Record<string, unknown> = {}) {
  return log.find(
    (entry) =>
      String(entry['msg']).includes(text) && Object.entries(fields).every(([key, value]) => entry[key] === value),
  );
}
