import { randomBytes } from 'node:crypto';
import { Redis } from 'ioredis';
import t, { type Test } from 'tap';
import { appProcesses } from '../fixtures/app-processes.js';
import { startBendingProxy } from '../fixtures/bending-proxy.js';
import { until } from '../fixtures/daemon.js';
import { type Load, startLoad } from '../fixtures/load.js';
import { adminToken } from '../fixtures/admin.js';
import { type Machine, startMachine } from '../fixtures/machine.js';
import { startRedis } from '../fixtures/redis.js';

// Several outages, each longer than a session lives.
t.setTimeout(480_000);

const unavailable = { status: 503, headers: { 'x-fastcontainer-error': 'cmdb_unavailable', 'retry-after': /^\d+$/ } };

interface Two {
  readonly name: string;
  readonly a: Machine;
  readonly b: Machine;
}

async function startTwo(t: Test, port: number, apps: Record<string, Record<string, unknown>>): Promise<Two> {
  const name = `faults-${randomBytes(4).toString('hex')}`;
  const cmdb = { url: `redis://127.0.0.1:${port}/0`, name };
  const a = await startMachine(t, { host: 'a', address: '127.0.0.2', cmdb, apps });
  const b = await startMachine(t, { host: 'b', address: '127.0.0.3', cmdb, apps });
  return { name, a, b };
}

/** One load at each machine for an app of the first. */
async function loadBoth(t: Test, { a, b }: Two): Promise<{ instance: string; loads: Load[] }> {
  const { instance } = await a.identity('hello.localhost');
  await b.identity('hello.localhost');
  const loads = [a, b].map(({ port, address }) => startLoad(t, port, 'hello.localhost', 1, address));
  return { instance, loads };
}

t.test('a Redis that is killed and comes back with its data costs no request and ends nothing', async (t) => {
  // Otherwise it may answer before it has written, while it flushes what came before.
  const redis = await startRedis(t, '--appendonly', 'yes', '--appendfsync', 'always');
  if (!redis) return;
  const two = await startTwo(t, redis.port, { hello: {}, sleeping: {} });
  const { instance, loads } = await loadBoth(t, two);
  await command(redis.port, (client) => client.set('mark', 'kept'));
  await redis.stop();
  t.match(await two.b.ask('sleeping.localhost'), unavailable);
  await redis.restart();
  t.equal(await command(redis.port, (client) => client.get('mark')), 'kept');
  await until(async () => (await two.b.ask('sleeping.localhost')).status === 200 || undefined);
  for (const machine of [two.a, two.b]) await until(() => logged(machine, 'another store than before'));
  await allAnswered(t, loads, instance);
  await matches(t, two, ['hello', 'sleeping']);
});

t.test('a Redis that stands still for longer than a session lives costs no request of a known app', async (t) => {
  const redis = await startRedis(t);
  if (!redis) return;
  const two = await startTwo(t, redis.port, { hello: {}, sleeping: {} });
  const { instance, loads } = await loadBoth(t, two);
  redis.process.kill('SIGSTOP');
  for (const machine of [two.a, two.b]) await until(() => logged(machine, 'the CMDB cannot be reached'));
  // Longer than its silence may last before others give a session up (outageGrace), were they to judge.
  await new Promise((resolve) => setTimeout(resolve, 6_000));
  t.match(await two.a.ask('sleeping.localhost'), unavailable);
  redis.process.kill('SIGCONT');
  await until(async () => (await two.a.ask('sleeping.localhost')).status === 200 || undefined);
  await until(() => logged(two.b, 'the CMDB answers'));
  await allAnswered(t, loads, instance);
  await matches(t, two, ['hello', 'sleeping']);
  for (const machine of [two.a, two.b]) t.notOk(logged(machine, 'another node revoked it'), 'nobody was judged');
});

t.test('a slow Redis makes boots slow, one beyond the time limit is away', async (t) => {
  const redis = await startRedis(t);
  if (!redis) return;
  const proxy = await startBendingProxy(t, redis.port);
  const two = await startTwo(t, proxy.port, { hello: {}, slow: {}, sleeping: {} });
  const { instance, loads } = await loadBoth(t, two);
  proxy.delayAnswers(300);
  const booted = await two.b.identity('slow.localhost');
  t.equal((await two.a.identity('slow.localhost')).instance, booted.instance);
  proxy.delayAnswers(2_500);
  for (const machine of [two.a, two.b]) await until(() => logged(machine, 'the CMDB cannot be reached'));
  t.match(await two.b.ask('sleeping.localhost'), unavailable);
  t.equal((await two.b.identity('slow.localhost')).instance, booted.instance);
  proxy.delayAnswers(0);
  await until(async () => (await two.b.ask('sleeping.localhost')).status === 200 || undefined);
  await allAnswered(t, loads, instance);
  await matches(t, two, ['hello', 'slow', 'sleeping']);
});

t.test(
  'a replica that takes over without the last writes gets them back, and running containers serve on',
  async (t) => {
    const primary = await startRedis(t);
    const replica = primary && (await startRedis(t, '--replicaof', '127.0.0.1', String(primary.port)));
    if (!replica) return;
    await until(async () =>
      (await command(replica.port, (client) => client.info('replication'))).includes('link_status:up'),
    );
    const proxy = await startBendingProxy(t, primary.port);
    const two = await startTwo(t, proxy.port, { hello: {}, late: {}, dead: {}, unused: { idleTtl: '300ms' } });
    const { instance, loads } = await loadBoth(t, two);
    const dead = await two.a.identity('dead.localhost');
    await two.b.identity('dead.localhost');
    await until(async () => (await instancesAt(two.b, 'dead'))[0]?.users.length === 2 || undefined);
    await command(primary.port, (client) => client.wait(1, 5_000));

    await command(replica.port, (client) => client.replicaof('NO', 'ONE'));
    // What only the old one knows: a boot on each machine, and a death.
    const late = await two.a.identity('late.localhost');
    await two.b.identity('unused.localhost');
    process.kill(dead.pid, 'SIGKILL');
    await until(async () => (await instancesAt(two.b, 'dead')).length === 0 || undefined);
    proxy.leadTo(replica.port);
    await primary.stop();

    for (const machine of [two.a, two.b]) await until(() => logged(machine, 'another store than before'));
    t.equal((await two.a.identity('late.localhost')).instance, late.instance, 'the boot that was lost is known again');
    const again = await until(async () => {
      const answer = await two.b.ask('dead.localhost');
      if (answer.status === 200) return JSON.parse(answer.body) as { instance: string };
      t.match(answer, { status: 502, headers: { 'x-fastcontainer-error': 'upstream_unreachable' } });
      return undefined;
    });
    t.not(again.instance, dead.instance, 'what the replica takes for running is found dead by its own machine');
    await allAnswered(t, loads, instance);
    await matches(t, two, ['hello', 'late', 'dead', 'unused']);
  },
);

async function allAnswered(t: Test, loads: readonly Load[], instance: string): Promise<void> {
  for (const load of loads) {
    const { failures, requests, byInstance } = await load.stop();
    t.same(failures, [], `of ${requests} requests none failed`);
    t.same([...byInstance.keys()], [instance], 'the container served on');
  }
}

/** What the CMDB says is what runs, and of no app more than one. */
async function matches(t: Test, { name, a }: Two, apps: readonly string[]): Promise<void> {
  for (const app of apps) {
    await until(async () => {
      const [stored, running] = [await instancesAt(a, app), await appProcesses(name, app)];
      const ids = stored.map(({ id }) => id);
      return stored.length <= 1 && stored.every(({ state }) => state === 'ready') && running.length === ids.length
        ? running.every((process) => ids.includes(process.instance))
        : undefined;
    });
    t.pass(`${app} runs as the CMDB says`);
  }
}

async function command<T>(port: number, run: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis({ port, host: '127.0.0.1' });
  try {
    return await run(client);
  } finally {
    client.disconnect();
  }
}

interface HostedInstance {
  readonly id: string;
  readonly state: string;
  readonly users: readonly unknown[];
}

async function instancesAt({ admin }: Machine, app: string): Promise<HostedInstance[]> {
  const response = await fetch(`${admin}/v1/instances?app=${app}`, {
    headers: { authorization: `Bearer ${adminToken}` },
  });
  return response.ok ? ((await response.json()) as HostedInstance[]) : [];
}

function logged({ log }: Machine, text: string): unknown {
  return log.find((entry) => `${String(entry['msg'])} ${String(entry['why'])}`.includes(text));
}
