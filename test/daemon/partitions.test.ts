import t, { type Test } from 'tap';
import { appProcesses } from '../fixtures/app-processes.js';
import { until } from '../fixtures/daemon.js';
import { adminToken } from '../fixtures/admin.js';
import { type Machine, startMachine } from '../fixtures/machine.js';
import { type Site, startNetwork } from '../fixtures/network.js';
import { startRedis } from '../fixtures/redis.js';

// Several sessions have to be judged dead, and connections to time out.
t.setTimeout(480_000);

const name = `partitions-${process.pid}`;

/** Two machines, each in a network namespace of its own, and a Redis that both reach. */
async function startTwo(t: Test, apps: Record<string, Record<string, unknown>>) {
  const sites = await startNetwork(t);
  if (!sites) return undefined;
  const redis = await startRedis(t, '--protected-mode', 'no', '--bind', '127.0.0.1', sites.a.gateway, sites.b.gateway);
  if (!redis) return undefined;
  const start = ({ name: host, address, gateway, inside }: Site) => {
    const cmdb = { url: `redis://${gateway}:${redis.port}/0`, name };
    return startMachine(t, { host, address, inside, cmdb, apps });
  };
  return { redis, sites, a: await start(sites.a), b: await start(sites.b) };
}

t.test('a machine that is lost whole costs no request that can be sent again', async (t) => {
  const two = await startTwo(t, { hello: {}, other: {} });
  if (!two) return;
  const { sites, a, b } = two;
  const there = await a.identity('hello.localhost');
  const here = await b.identity('other.localhost');
  t.equal((await b.identity('hello.localhost')).instance, there.instance, 'a container of the first serves the second');
  t.equal((await a.identity('other.localhost')).instance, here.instance, 'and the other way round');

  const underWay = Array.from({ length: 5 }, () => b.ask('hello.localhost', '/slow?ms=3600000'));
  const connections = Promise.allSettled(underWay);
  const upload = b.ask('hello.localhost', '/hang', { method: 'POST', body: 'once' });
  await until(async () => (await inflightAt(b, 'hello')) === 6 || undefined);
  await sites.a.lose();
  const answers = await Promise.all(Array.from({ length: 20 }, () => b.identity('hello.localhost')));
  t.equal(new Set(answers.map(({ instance }) => instance)).size, 1, 'one boot for all who waited');
  t.not(answers[0]?.instance, there.instance);
  t.match(
    await upload,
    { status: 502, headers: { 'x-fastcontainer-error': 'upstream_reset' } },
    'a POST is not repeated',
  );
  await until(async () => (await inflightAt(b, 'hello')) === 5 || undefined);
  t.match(
    await instancesAt(b, 'hello'),
    [{ host: 'b', state: 'ready', inflight: 5 }],
    'what was under way was sent again',
  );
  t.equal((await appProcesses(name, 'hello')).length, 1);
  t.equal((await b.identity('other.localhost')).instance, here.instance);
  await b.kill('all');
  await connections;
});

t.test('a machine that is cut off from the store serves what it knows, and nothing runs twice', async (t) => {
  const two = await startTwo(t, { hello: {}, other: {}, sleeping: {} });
  if (!two) return;
  const { redis, sites, a, b } = two;
  const hello = await a.identity('hello.localhost');
  await b.identity('hello.localhost');
  const other = await b.identity('other.localhost');
  await a.identity('other.localhost');

  sites.a.cutFromPort(redis.port);
  await until(() => logged(a, 'the CMDB cannot be reached'));
  const sleeping = await b.identity('sleeping.localhost');
  t.match(await a.ask('sleeping.localhost'), {
    status: 503,
    headers: { 'x-fastcontainer-error': 'cmdb_unavailable', 'retry-after': /^\d+$/ },
  });
  await until(() => logged(b, 'these hosts have no live dispatcher'));
  for (const machine of [a, b]) {
    t.equal((await machine.identity('hello.localhost')).instance, hello.instance);
    t.equal((await machine.identity('other.localhost')).instance, other.instance);
  }

  sites.a.heal();
  const after = await until(() => a.identity('sleeping.localhost').catch(() => undefined));
  t.equal(after.instance, sleeping.instance, 'what was booted meanwhile is used');
  for (const machine of [a, b]) {
    t.equal((await machine.identity('hello.localhost')).instance, hello.instance);
    t.equal((await machine.identity('other.localhost')).instance, other.instance);
  }
  for (const app of ['hello', 'other', 'sleeping']) t.equal((await appProcesses(name, app)).length, 1, app);
});

t.test(
  'a machine that is cut off from the store and the others serves its own, and ends what runs twice after',
  async (t) => {
    const two = await startTwo(t, { hello: {} });
    if (!two) return;
    const { redis, sites, a, b } = two;
    const before = await a.identity('hello.localhost');
    await b.identity('hello.localhost');
    sites.a.cutFromPort(redis.port);
    sites.a.cutFrom(sites.b);
    const elsewhere = await b.identity('hello.localhost');
    t.not(elsewhere.instance, before.instance, 'the others take its machine for lost');
    t.equal((await a.identity('hello.localhost')).instance, before.instance, 'its own clients are answered');

    sites.a.heal();
    await until(async () => (await appProcesses(name, 'hello')).length === 1 || undefined);
    const left = (await appProcesses(name, 'hello'))[0]?.instance;
    for (const machine of [a, b]) {
      const { instance } = await until(() => machine.identity('hello.localhost').catch(() => undefined));
      t.equal(instance, left);
    }
    t.match(await instancesAt(b, 'hello'), [{ id: left, state: 'ready' }]);
  },
);

t.test(
  'where two machines cannot reach each other, requests for the other fail in time and nothing is killed',
  async (t) => {
    const queue = { timeout: '45s' };
    const two = await startTwo(t, { hello: { queue }, other: { queue } });
    if (!two) return;
    const { sites, a, b } = two;
    const hello = await a.identity('hello.localhost');
    await b.identity('hello.localhost');
    const other = await b.identity('other.localhost');
    // A connection that is open goes on waiting for its answer; those that are idle close after a second.
    await until(async () => (await inflightAt(b, 'hello')) === 0 || undefined);
    await new Promise((resolve) => setTimeout(resolve, 1_500));

    sites.a.cutFrom(sites.b);
    const refusals = [b.ask('hello.localhost'), a.ask('other.localhost')];
    t.equal((await a.identity('hello.localhost')).instance, hello.instance);
    t.equal((await b.identity('other.localhost')).instance, other.instance);
    for (const refusal of await Promise.all(refusals)) {
      t.match(refusal, { status: 502, headers: { 'x-fastcontainer-error': 'upstream_unreachable' } });
    }
    t.match(await instancesAt(b, 'hello'), [{ id: hello.instance, host: 'a', state: 'ready' }]);
    t.match(await instancesAt(a, 'other'), [{ id: other.instance, host: 'b', state: 'ready' }]);

    sites.a.heal();
    t.equal((await b.identity('hello.localhost')).instance, hello.instance);
    t.equal((await a.identity('other.localhost')).instance, other.instance);
    for (const app of ['hello', 'other']) t.equal((await appProcesses(name, app)).length, 1, app);
  },
);

interface HostedInstance {
  readonly id: string;
  readonly host: string;
  readonly state: string;
  readonly inflight: number;
}

async function instancesAt({ admin }: Machine, app: string): Promise<HostedInstance[]> {
  const response = await fetch(`${admin}/v1/instances?app=${app}`, {
    headers: { authorization: `Bearer ${adminToken}` },
  });
  return (await response.json()) as HostedInstance[];
}

async function inflightAt(machine: Machine, app: string): Promise<number | undefined> {
  return (await instancesAt(machine, app))[0]?.inflight;
}

function logged({ log }: Machine, text: string): unknown {
  return log.find(({ msg }) => String(msg).includes(text));
}
