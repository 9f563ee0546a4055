import { once } from 'node:events';
import { execFile } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { openRedisCmdb } from '../../src/cmdb/redis.js';
import { adminToken, fetchAdmin } from '../fixtures/admin.js';
import { install, type Installation, spawnDaemon, until } from '../fixtures/daemon.js';
import { type Machine, startMachine } from '../fixtures/machine.js';
import { metric } from '../fixtures/metric.js';
import { startRedis } from '../fixtures/redis.js';
import { ask } from '../fixtures/request.js';
import { testSigner } from '../fixtures/signer.js';

const run = promisify(execFile);
const names = ['one', 'two', 'three'];
const apps = Object.fromEntries(names.map((name) => [name, {}]));

async function startTwo(t: Test) {
  const redis = await startRedis(t);
  if (!redis) return undefined;
  const cmdb = { url: redis.url, name: 'lost-files' };
  const b = { host: 'b', address: '127.0.0.3', cmdb, apps };
  return { cmdb, a: await startMachine(t, { ...b, host: 'a', address: '127.0.0.2' }), b: await startMachine(t, b) };
}

async function readiness(admin: string): Promise<{ status: number; removals: { ok: boolean; detail?: string } }> {
  const answer = await fetchAdmin(`${admin}/readyz`);
  const { checks } = (await answer.json()) as { checks: { removals: { ok: boolean; detail?: string } } };
  return { status: answer.status, removals: checks.removals };
}

async function statuses(...machines: Pick<Machine, 'ask'>[]): Promise<number[]> {
  const answers = machines.flatMap((machine) => names.map((name) => machine.ask(`${name}.localhost`)));
  return (await Promise.all(answers)).map(({ status }) => status);
}

const withheld = 'fastcontainer_config_removals_withheld';

function allowRemovals({ file }: Installation, count: number): Promise<void> {
  return readFile(file, 'utf8').then((text) => writeFile(file, `${text}maxRemovals: ${count}\n`));
}

t.test('a machine that starts without its app files takes no app from anybody', async (t) => {
  const two = await startTwo(t);
  if (!two) return;
  const { a, cmdb } = two;
  const { installation } = two.b;
  const pids = await Promise.all(names.map(async (name) => (await a.identity(`${name}.localhost`)).pid));
  await two.b.kill('daemon');
  const directory = join(installation.dir, 'apps');
  await rm(directory, { recursive: true });
  await mkdir(directory);
  const b = await startMachine(t, { host: 'b', address: '127.0.0.3', cmdb, installation });
  const why = /^3 of 3 apps are no longer in any file, none is left in .*\/apps: is it mounted\?/;
  t.match(await readiness(b.admin), { status: 503, removals: { ok: false, detail: why } });
  t.equal(await metric(b.admin, withheld, adminToken), 1);
  t.ok(b.log.some(({ level, msg }) => level === 50 && why.test(String(msg))));
  t.same(await statuses(a, b), Array(6).fill(200));

  await rm(directory, { recursive: true });
  await b.reload();
  t.match(await readiness(b.admin), { status: 503, removals: { detail: why } }, 'the directory itself is gone');
  t.same(await statuses(a, b), Array(6).fill(200));

  await allowRemovals(installation, 3);
  await b.reload();
  t.match(await readiness(b.admin), { status: 200, removals: { ok: true } });
  t.equal(await metric(b.admin, withheld, adminToken), 0);
  t.ok(b.log.some(({ msg }) => String(msg).includes('files of other machines have them')));
  t.same(await statuses(a, b), Array(6).fill(200), 'they are the files of the other machine');
  t.same(await Promise.all(names.map(async (name) => (await b.identity(`${name}.localhost`)).pid)), pids);

  await allowRemovals(a.installation, 3);
  await rm(join(a.installation.dir, 'apps'), { recursive: true });
  await a.reload();
  await until(async () => (await statuses(a, b)).every((status) => status === 404) || undefined);
});

t.test('what was removed though a file of a machine has it comes back by itself', async (t) => {
  const two = await startTwo(t);
  if (!two) return;
  const { a, b, cmdb } = two;
  const { name } = cmdb;
  const logger = pino({ level: 'silent' });
  const store = openRedisCmdb({ ...cmdb, signer: testSigner(name), logger, onUnreadable() {} });
  t.teardown(() => store.close());
  // As a daemon does that knows nothing of the others' files.
  await store.apply({ put: [], remove: names });
  await until(async () => (await statuses(a, b)).every((status) => status === 200) || undefined);
  t.ok(
    [...a.log, ...b.log].some(({ msg }) =>
      /another machine removed it from the CMDB.*put again from/.test(String(msg)),
    ),
  );
});

t.test('a directory that another file system was mounted over, or that is not mounted, removes nothing', async (t) => {
  const installation = await install(t, {}, apps);
  const { child, port, admin, log } = await spawnDaemon(t, installation, '--stop-apps');
  const directory = join(installation.dir, 'apps');
  const refusal = await run('mount', ['-t', 'tmpfs', 'none', directory]).then(
    () => undefined,
    (error: Error) => error.message,
  );
  if (refusal !== undefined) return t.comment(`skipped: ${refusal}`);
  let isMounted = true;
  const unmount = async () => {
    if (isMounted) await run('umount', [directory]);
    isMounted = false;
  };
  t.teardown(unmount);
  child.kill('SIGHUP');
  await until(async () => (await readiness(admin)).status === 503 || undefined);
  t.match(await readiness(admin), { removals: { detail: /none is left in .*apps: is it mounted\?/ } });
  for (const name of names) t.equal((await ask(port, `${name}.localhost`)).status, 200, name);
  await unmount();
  child.kill('SIGHUP');
  await until(async () => (await readiness(admin)).status === 200 || undefined);
  t.notOk(log.some(({ msg }) => msg === 'terminated'));
  child.kill('SIGTERM');
  t.same(await once(child, 'exit'), [0, null], 'it ends its apps with itself');
});
