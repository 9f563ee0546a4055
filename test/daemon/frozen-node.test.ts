import t from 'tap';
import { appProcesses } from '../fixtures/app-processes.js';
import { isAlive, until } from '../fixtures/daemon.js';
import { adminToken } from '../fixtures/admin.js';
import { type Machine, startMachine } from '../fixtures/machine.js';
import { startRedis } from '../fixtures/redis.js';

t.test('a daemon that was frozen until others gave it up sends nothing before it is registered anew', async (t) => {
  const redis = await startRedis(t);
  if (!redis) return;
  const cmdb = { url: redis.url, name: `frozen-${process.pid}` };
  const apps = { short: { idleTtl: '5s' }, steady: {} };
  const a = await startMachine(t, { host: 'a', address: '127.0.0.2', cmdb, apps });
  const b = await startMachine(t, { host: 'b', address: '127.0.0.3', cmdb, apps });
  const steady = await b.identity('steady.localhost');
  const ended = await b.identity('short.localhost');
  // Each is used by the one that is about to freeze; of the first it is the only user once the other has released it.
  t.equal((await a.identity('steady.localhost')).instance, steady.instance);
  t.equal((await a.identity('short.localhost')).instance, ended.instance);
  const underWay = a.ask('steady.localhost', '/slow?ms=4000');
  const upload = a.ask('short.localhost', '/hang', { method: 'POST', body: 'once' });
  await until(async () => (await inflightAt(a, 'short')) === 1 && (await inflightAt(a, 'steady')) === 1);
  a.child.kill('SIGSTOP');

  await until(() => (isAlive(ended.pid) ? undefined : true));
  await until(() => logged(b, 'terminated'));
  const asked = [a.identity('short.localhost'), a.identity('steady.localhost')] as const;
  a.child.kill('SIGCONT');
  const [short, again] = await Promise.all(asked);
  t.not(short.instance, ended.instance, 'another one is booted for it');
  t.equal(again.instance, steady.instance, 'one that runs on is used again');
  t.ok(logged(a, 'this session lapsed; registering anew'));
  t.equal((await underWay).status, 200, 'what was under way to it is answered');
  t.match(
    await upload,
    { status: 502, headers: { 'x-fastcontainer-error': 'upstream_reset' } },
    'a POST is not repeated',
  );
  for (const app of ['short', 'steady']) t.equal((await appProcesses(cmdb.name, app)).length, 1, app);
});

async function inflightAt({ admin }: Machine, app: string): Promise<number> {
  const headers = { authorization: `Bearer ${adminToken}` };
  const response = await fetch(`${admin}/v1/instances?app=${app}`, { headers });
  return ((await response.json()) as { inflight: number }[])[0]?.inflight ?? 0;
}

function logged({ log }: Machine, text: string): unknown {
  return log.find(({ msg }) => String(msg).includes(text));
}
