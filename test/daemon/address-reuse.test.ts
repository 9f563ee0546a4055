import { createServer } from 'node:http';
import t from 'tap';
import { until } from '../fixtures/daemon.js';
import { startBendingProxy } from '../fixtures/bending-proxy.js';
import { adminToken } from '../fixtures/admin.js';
import { type Machine, startMachine } from '../fixtures/machine.js';
import { listen } from '../fixtures/raw.js';
import { startRedis } from '../fixtures/redis.js';

t.test('a machine cut off from the store sends nothing to an address that may be of another app by then', async (t) => {
  const redis = await startRedis(t);
  if (!redis) return;
  const name = `reuse-${process.pid}`;
  const route = await startBendingProxy(t, redis.port);
  // It is not to end idle meanwhile: the others give up the uses of a machine that they do not hear of.
  const apps = { hello: {}, other: { idleTtl: '10m' } };
  const cmdb = (port: number) => ({ url: `redis://127.0.0.1:${port}/0`, name });
  const a = await startMachine(t, { host: 'a', address: '127.0.0.2', cmdb: cmdb(route.port), apps });
  const b = await startMachine(t, { host: 'b', address: '127.0.0.3', cmdb: cmdb(redis.port), apps });
  const hello = await b.identity('hello.localhost');
  const other = await b.identity('other.localhost');
  for (const domain of ['hello.localhost', 'other.localhost']) await a.identity(domain);
  const port = Number((await addressAt(b, 'hello')).split(':').at(-1));
  route.silence();
  await until(() => a.log.find(({ msg }) => String(msg).includes('the CMDB cannot be reached')));
  process.kill(hello.pid, 'SIGKILL');

  // The machine that held it frees the address, to be given to another app after a minute; this one cannot hear of it.
  await until(async () => {
    const { status, headers } = await a.ask('hello.localhost');
    t.match(headers['x-fastcontainer-error'], /^(upstream_unreachable|upstream_reset|cmdb_unavailable)$/);
    return status === 503 || undefined;
  }, 90_000);
  let stray = 0;
  const impostor = createServer((_req, res) => {
    stray += 1;
    res.end('another app');
  });
  await listen(t, impostor, new Set(), { host: b.address, port });
  for (let count = 0; count < 20; count += 1) t.equal((await a.ask('hello.localhost')).status, 503);
  t.equal(stray, 0);
  t.equal((await a.identity('other.localhost')).instance, other.instance, 'what goes on taking connections is used on');
  t.not((await b.identity('hello.localhost')).instance, hello.instance, 'others boot it anew');
});

async function addressAt({ admin }: Machine, app: string): Promise<string> {
  const response = await fetch(`${admin}/v1/instances?app=${app}`, {
    headers: { authorization: `Bearer ${adminToken}` },
  });
  return ((await response.json()) as { address: string }[])[0]?.address ?? '';
}
