import t, { type Test } from 'tap';
import { until } from '../fixtures/daemon.js';
import { adminToken } from '../fixtures/admin.js';
import { type Machine, startMachine } from '../fixtures/machine.js';
import { metric } from '../fixtures/metric.js';
import { startRedis } from '../fixtures/redis.js';

/** Two machines over one Redis, each with a file of the app of its own. */
async function startTwo(t: Test, a: Record<string, unknown>, b: Record<string, unknown>) {
  const redis = await startRedis(t);
  if (!redis) return undefined;
  const cmdb = { url: redis.url, name: 'files' };
  const one = await startMachine(t, { host: 'a', address: '127.0.0.2', cmdb, apps: { hello: a } });
  const two = await startMachine(t, { host: 'b', address: '127.0.0.3', cmdb, apps: { hello: b } });
  return { redis, a: one, b: two };
}

t.test('files that differ are reported at the machine whose file is not applied, until they agree', async (t) => {
  const two = await startTwo(t, {}, {});
  if (!two) return;
  const { a, b } = two;
  t.equal(await differing(b), 0);
  await b.changeApp('hello', { idleTtl: '5m' });
  const line = await until(() => warning(a));
  t.match(line, { app: 'hello', storedFrom: 'b', storedSince: /^\d{4}-/, file: /hello.yaml$/ });
  t.match(line, { msg: /the CMDB has the file of b, not .*hello.yaml; make the files the same/ });
  t.equal(await differing(a), 1);
  t.equal(await differing(b), 0);
  t.notOk(warning(b));
  await a.changeApp('hello', { idleTtl: '5m' });
  await until(async () => (await differing(a)) === 0 || undefined);
  t.ok(a.log.find(({ msg }) => msg === 'the file of the app and the CMDB agree again'));
});

t.test('a stale file does not replace a newer one in a store that came back empty', async (t) => {
  const two = await startTwo(t, {}, {});
  if (!two) return;
  const { redis, a, b } = two;
  for (const ttl of ['5m', '6m']) {
    await b.changeApp('hello', { idleTtl: ttl, env: { TTL: ttl } });
    await until(() => a.log.filter(isWarning).length === (ttl === '5m' ? 1 : 2) || undefined);
  }
  const revision = await revisionAt(b);
  for (let round = 1; round <= 3; round += 1) {
    await redis.restart();
    await until(() => [a, b].every(({ log }) => log.filter(isReplaced).length >= round) || undefined);
    await until(async () => ((await differing(a)) === 1 && (await differing(b)) === 0) || undefined);
    t.equal(await revisionAt(a), revision);
  }
});

t.test('a machine that starts with a stale file and no memory of it leaves the newer one alone', async (t) => {
  const redis = await startRedis(t);
  if (!redis) return;
  const cmdb = { url: redis.url, name: 'files' };
  const a = await startMachine(t, { host: 'a', address: '127.0.0.2', cmdb, apps: { hello: {} } });
  const before = await revisionAt(a);
  // Its file is the older one though it is the first time that it is seen.
  const b = await startMachine(t, {
    ...{ host: 'b', address: '127.0.0.3', cmdb, apps: { hello: { env: { A: '1' } } } },
    afterInstall: () => a.changeApp('hello', { env: { A: '2' } }),
  });
  await until(() => warning(b));
  t.not(await revisionAt(b), before);
  t.equal(await differing(b), 1);
  t.equal(await differing(a), 0);
});

const isWarning = ({ msg }: Record<string, unknown>) => String(msg).includes('make the files the same');
const isReplaced = ({ msg }: Record<string, unknown>) => String(msg).includes('another store than before');
const warning = ({ log }: Machine) => log.find(isWarning);

function differing({ admin }: Machine): Promise<number> {
  return metric(admin, 'fastcontainer_app_files_differing', adminToken);
}

async function revisionAt({ admin }: Machine): Promise<string | undefined> {
  const response = await fetch(`${admin}/v1/apps`, { headers: { authorization: `Bearer ${adminToken}` } });
  return ((await response.json()) as { revision: string }[])[0]?.revision;
}
