import { fetchAdmin } from '../fixtures/admin.js';
import { once } from 'node:events';
import { access, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { open as openRaw } from 'lmdb';
import t from 'tap';
import { install, type Installation, spawnDaemon, startDaemon, until } from '../fixtures/daemon.js';
import { startRedis } from '../fixtures/redis.js';
import { ask, askIdentity } from '../fixtures/request.js';

/** What somebody does who can write the embedded store and has no key: to each record of a table. */
async function rewrite({ dir }: Installation, table: string, change: (text: string) => string): Promise<void> {
  const root = openRaw({ path: join(dir, 'cmdb'), maxDbs: 16, encoding: 'string' });
  const records = root.openDB<string, string>({ name: table, encoding: 'string' });
  for (const { key, value } of [...records.getRange()]) await records.put(key, change(value));
  await root.close();
}

const withoutSignature = (text: string) => text.slice(text.indexOf('{'));

t.test('a command that was written into the store is not run; the app of the file comes back', async (t) => {
  const installation = await install(t);
  // In another process: one that opens an LMDB store twice may wait for itself.
  const { port, admin, log, child } = await spawnDaemon(t, installation, '--stop-apps');
  t.equal((await ask(port, 'hello.localhost')).status, 200);
  const proof = join(installation.dir, 'proof');
  const command = `"command":["/bin/sh","-c","touch ${proof}; sleep 60"]`;
  await rewrite(installation, 'apps', (text) => text.replace(/"command":\[[^\]]*\]/, command));
  const readyz = await until(async () => {
    await ask(port, 'other.localhost');
    await fetchAdmin(`${admin}/v1/apps`);
    const response = await fetchAdmin(`${admin}/readyz`);
    const { checks } = (await response.json()) as { checks: { records: { detail?: string } } };
    return checks.records.detail === undefined ? undefined : { status: response.status, ...checks.records };
  });
  t.match(readyz, { status: 200, ok: true, detail: /app hello/ });
  t.equal(log.filter(({ record, level }) => record === 'app hello' && level === 'error').length, 1, 'named once');
  await until(() => log.some(({ record, level }) => record === 'app hello' && level === 'info') || undefined);
  t.equal((await ask(port, 'hello.localhost')).status, 200);
  await t.rejects(access(proof));
  child.kill('SIGTERM');
  t.same(await once(child, 'exit'), [0, null]);
});

t.test('an address that was written into the store gets no request', async (t) => {
  const installation = await install(t, {}, { hello: { idleTtl: '10m' }, thief: { idleTtl: '10m' } });
  const first = await spawnDaemon(t, installation);
  const { pid } = await askIdentity(first.port, 'hello.localhost');
  const thief = await askIdentity(first.port, 'thief.localhost');
  first.child.kill('SIGKILL');
  await until(() => first.child.signalCode !== null || undefined);
  const ports: string[] = [];
  const address = /"port":\d+/;
  await rewrite(installation, 'deployments', (text) => {
    ports.push(address.exec(text)?.[0] ?? '');
    return text;
  });
  t.equal(new Set(ports).size, 2);
  await rewrite(installation, 'deployments', (text) =>
    text.replace(address, (own) => ports.find((port) => port !== own) ?? ''),
  );
  const { port, log } = await startDaemon(t, installation);
  t.equal((await askIdentity(port, 'hello.localhost')).pid, pid, 'what runs is found by its runtime');
  t.equal((await askIdentity(port, 'thief.localhost')).pid, thief.pid);
  t.ok(log.some(({ record }) => record === 'deployment hello'));
});

t.test('a store of a version without signatures is taken over with what runs', async (t) => {
  const installation = await install(t, {}, { hello: { idleTtl: '10m' } });
  const first = await spawnDaemon(t, installation);
  const { pid } = await askIdentity(first.port, 'hello.localhost');
  first.child.kill('SIGTERM');
  await until(() => first.child.exitCode !== null || undefined);
  for (const table of ['apps', 'deployments']) await rewrite(installation, table, withoutSignature);
  const root = openRaw({ path: join(installation.dir, 'cmdb'), maxDbs: 16, encoding: 'string' });
  await root.remove('signing-key');
  await root.close();
  const manifest = join(installation.dir, 'state', 'applied-apps.json');
  const text = await readFile(manifest, 'utf8');
  await writeFile(manifest, text.replace(/\.[\w-]{12}"/, '"'));
  t.not(await readFile(manifest, 'utf8'), text);
  const { port } = await startDaemon(t, installation);
  t.equal((await askIdentity(port, 'hello.localhost')).pid, pid, 'the same process serves');
});

t.test('a machine with another key is refused, says so, and leaves the others alone', async (t) => {
  const redis = await startRedis(t);
  if (!redis) return;
  const cmdb = { url: redis.url, name: 'shared', signingKey: 'the-key-that-all-machines-have-in-common' };
  const { port } = await startDaemon(t, await install(t, { cmdb }));
  t.equal((await ask(port, 'hello.localhost')).status, 200);
  const other = await install(
    t,
    { cmdb: { ...cmdb, signingKey: 'a-key-that-somebody-made-up-for-this-one' } },
    { mine: {} },
  );
  const { admin } = await startDaemon(t, other);
  const readyz = await fetchAdmin(`${admin}/readyz`);
  t.equal(readyz.status, 503);
  t.match(await readyz.json(), { checks: { cmdb: { ok: false, detail: /another key .* the same cmdb\.signingKey/ } } });
  t.equal((await ask(port, 'hello.localhost')).status, 200);
});
