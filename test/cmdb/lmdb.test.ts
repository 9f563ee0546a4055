import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import { promisify } from 'node:util';
import { open as openRaw } from 'lmdb';
import t, { type Test } from 'tap';
import type { UnreadableReport } from '../../src/cmdb/cmdb.js';
import { type LmdbCmdbOptions, openLmdbCmdb } from '../../src/cmdb/lmdb.js';
import type { RecordSigner } from '../../src/cmdb/record-signer.js';
import { testApp } from '../fixtures/app.js';
import { until } from '../fixtures/daemon.js';
import { eventually } from '../fixtures/eventually.js';
import { testSigner } from '../fixtures/signer.js';
import { collect } from './collect.js';
import { cmdbConformance } from './conformance.js';
import type { CmdbUnderTest } from './conformance/store.js';

// The store's own handles do not keep a process alive; in the daemon its server does.
const alive = setInterval(() => {}, 1_000);
t.teardown(() => clearInterval(alive));

async function directory(t: Test): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'fastcontainer-lmdb-'));
  t.teardown(() => rm(path, { recursive: true, force: true }));
  return path;
}

async function modeOf(path: string): Promise<number> {
  return (await stat(path)).mode & 0o777;
}

async function fresh(t: Test): Promise<CmdbUnderTest> {
  const path = await directory(t);
  const [unreadable, readable]: [string[], string[]] = [[], []];
  const logLength = 20;
  const openAs = (signer: RecordSigner, options: Partial<LmdbCmdbOptions> = {}) => {
    const onUnreadable: UnreadableReport = (record, problem) =>
      void (problem === undefined ? readable : unreadable).push(record);
    const cmdb = openLmdbCmdb({ path, signer, logLength, onUnreadable, ...options });
    t.teardown(() => cmdb.close());
    return cmdb;
  };
  return {
    unreadable,
    readable,
    logLength,
    signer: testSigner(),
    open: () => openAs(testSigner()),
    openAt: (now) => openAs(testSigner(), { now, usageDays: 3 }),
    openAs,
    async stored(kind, name) {
      const root = openRaw({ path, maxDbs: 16, encoding: 'string' });
      const text = root.openDB({ name: `${kind}s`, encoding: 'string' }).get(name) as string;
      await root.close();
      return text;
    },
    async spoil(kind, name, text) {
      const root = openRaw({ path, maxDbs: 16, encoding: 'string' });
      const table = root.openDB({ name: `${kind}s`, encoding: 'string' });
      await (text === undefined ? table.remove(name) : table.put(name, text));
      await root.close();
    },
    async remnants() {
      const root = openRaw({ path, maxDbs: 16, encoding: 'string' });
      const tables = ['apps', 'deployments', 'domains', 'sessions', 'schedule', 'scheduled-at', 'ledger-of-apps'];
      const left = tables.flatMap((name) => [...root.openDB({ name, encoding: 'string' }).getKeys()].map(String));
      await root.close();
      return left;
    },
  };
}

cmdbConformance(t, fresh);

const script = (path: string, code: string) => `
  import { openLmdbCmdb } from ${JSON.stringify(resolve('dist/src/cmdb/lmdb.js'))};
  import { testSigner } from ${JSON.stringify(resolve('dist/test/fixtures/signer.js'))};
  const cmdb = openLmdbCmdb({ path: ${JSON.stringify(path)}, signer: testSigner(), onUnreadable() {} });
  ${code}
  await cmdb.close();`;

t.test('another process wakes whoever follows the log', async (t) => {
  const path = await directory(t);
  const cmdb = openLmdbCmdb({ path, signer: testSigner(), onUnreadable() {} });
  t.teardown(() => cmdb.close());
  await cmdb.apply({ put: [testApp()], remove: [] });
  const { position } = await cmdb.changes(undefined, AbortSignal.timeout(1_000));
  const waiting = collect(cmdb, position, 1);
  const code = `await cmdb.update('shop', (current) => ({ ...current }));`;
  await promisify(execFile)(process.execPath, ['--input-type=module', '-e', script(path, code)]);
  t.match(await waiting, [{ app: 'shop' }]);
});

t.test('updates of several processes lose nothing', async (t) => {
  const path = await directory(t);
  const cmdb = openLmdbCmdb({ path, signer: testSigner(), onUnreadable() {} });
  t.teardown(() => cmdb.close());
  await cmdb.apply({ put: [testApp()], remove: [] });
  const breaker = { failures: 0, retryAt: 0, code: 'boot_failed', message: '' } as const;
  await cmdb.update('shop', (current) => ({ ...current, breaker }));
  const code = `for (let i = 0; i < 50; i += 1) await cmdb.update('shop', (d) => ({ ...d, breaker: { ...d.breaker, failures: d.breaker.failures + 1 } }));`;
  await Promise.all(
    [1, 2, 3].map(() => promisify(execFile)(process.execPath, ['--input-type=module', '-e', script(path, code)])),
  );
  t.equal((await cmdb.find({ app: 'shop' }))?.deployment.breaker?.failures, 150);
});

t.test('a path that cannot be used is named, with what to do', async (t) => {
  const file = join(await directory(t), 'file');
  await writeFile(file, '');
  t.throws(() => openLmdbCmdb({ path: join(file, 'cmdb'), signer: testSigner(), onUnreadable() {} }), {
    message: /cannot open the CMDB in .*file\/cmdb: .*; fix the directory or change cmdb/,
  });
});

t.test("its files are the daemon's alone, also those that an older version made", async (t) => {
  const path = join(await directory(t), 'cmdb');
  const old = process.umask(0);
  try {
    const cmdb = openLmdbCmdb({ path, signer: testSigner(), onUnreadable() {} });
    await cmdb.apply({ put: [testApp()], remove: [] });
    const modes = async () => Promise.all([path, ...(await readdir(path)).map((name) => join(path, name))].map(modeOf));
    t.same(await modes(), [0o700, 0o600, 0o600, 0o600]);
    await cmdb.close();
    for (const name of await readdir(path)) await chmod(join(path, name), 0o644);
    await openLmdbCmdb({ path, signer: testSigner(), onUnreadable() {} }).close();
    t.same(await modes(), [0o700, 0o600, 0o600, 0o600]);
  } finally {
    process.umask(old);
  }
});

t.test(
  "a directory that others can enter, or that is another user's, is refused with the command that mends it",
  async (t) => {
    const path = await directory(t);
    const opening = () => openLmdbCmdb({ path, signer: testSigner(), onUnreadable() {} });
    for (const mode of [0o750, 0o705, 0o701]) {
      await chmod(path, mode);
      t.throws(opening, {
        message: new RegExp(`open to other users \\(mode 0${mode.toString(8)}\\); run: chmod 0700 ${path}`),
      });
    }
    t.same(await readdir(path), [], 'nothing was written');
    await chmod(path, 0o700);
    if (process.getuid?.() === 0) {
      await chown(path, 65_534, 65_534);
      t.throws(opening, { message: new RegExp(`belongs to user 65534, .* run: chown 0 ${path}`) });
      await chown(path, 0, 0);
    }
    await opening().close();
  },
);

t.test('a store that another process holds ends a write by its limit, and nothing is written later', async (t) => {
  const path = await directory(t);
  const cmdb = openLmdbCmdb({ path, signer: testSigner(), onUnreadable() {}, timeLimitMs: 300 });
  t.teardown(() => cmdb.close());
  await cmdb.apply({ put: [testApp()], remove: [] });
  const holding = `
    import { open } from 'lmdb';
    const root = open({ path: ${JSON.stringify(path)}, maxDbs: 16, encoding: 'string' });
    root.transactionSync(() => { process.stdout.write('held'); process.kill(process.pid, 'SIGSTOP'); });
    await root.close();`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', holding], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  await once(child.stdout, 'data');
  await t.rejects(cmdb.apply({ put: [testApp({ name: 'late', domains: [] })], remove: [] }), {
    code: 'cmdb_unavailable',
  });
  t.equal((await cmdb.find({ app: 'shop' }))?.app.name, 'shop', 'reading goes on');
  const ended = once(child, 'exit');
  child.kill('SIGCONT');
  await ended;
  await eventually(async () => (await cmdb.update('shop', (current) => ({ ...current }))).version !== '');
  t.equal(await cmdb.find({ app: 'late' }), undefined);
});

t.test('what a process has written is there for all others though it dies at the same moment', async (t) => {
  const path = await directory(t);
  const cmdb = openLmdbCmdb({ path, signer: testSigner(), onUnreadable() {} });
  t.teardown(() => cmdb.close());
  await cmdb.apply({ put: [testApp()], remove: [] });
  for (let round = 1; round <= 10; round += 1) {
    const code = `setInterval(() => {}, 1_000);
    await cmdb.update('shop', (d) => ({ ...d, breaker: { failures: ${round}, retryAt: 1, code: 'boot_failed', message: '' } }));
    process.kill(process.pid, 'SIGKILL');`;
    const writer = spawn(process.execPath, ['--input-type=module', '-e', script(path, code)], { stdio: 'ignore' });
    await once(writer, 'exit');
    t.equal((await cmdb.find({ app: 'shop' }))?.deployment.breaker?.failures, round);
  }
  // And by who opens the store anew on the same boot of the machine.
  await cmdb.close();
  const again = openLmdbCmdb({ path, signer: testSigner(), onUnreadable() {} });
  t.teardown(() => again.close());
  t.equal((await again.find({ app: 'shop' }))?.deployment.breaker?.failures, 10);
});

t.test('what was begun before the store is closed is written, however often it is closed', async (t) => {
  const path = await directory(t);
  const cmdb = openLmdbCmdb({ path, signer: testSigner(), onUnreadable() {} });
  const names = Array.from({ length: 50 }, (_, index) => `app-${index}`);
  await cmdb.apply({ put: names.map((name) => testApp({ name, domains: [`${name}.example`] })), remove: [] });
  const breaker = { failures: 7, retryAt: 1, code: 'boot_failed', message: '' } as const;
  const writing = names.map((name) => cmdb.update(name, (deployment) => ({ ...deployment, breaker })));
  await Promise.all([cmdb.close(), cmdb.close()]);
  await Promise.all(writing);
  await t.rejects(
    cmdb.update('app-0', (deployment) => ({ ...deployment })),
    { code: 'cmdb_unavailable' },
  );
  const again = openLmdbCmdb({ path, signer: testSigner(), onUnreadable() {} });
  t.teardown(() => again.close());
  for (const name of names) t.match(await again.find({ app: name }), { deployment: { breaker: { failures: 7 } } });
});

t.test('a process stopped within a transaction holds up writes, not reads, and its death frees them', async (t) => {
  const path = await directory(t);
  const cmdb = openLmdbCmdb({ path, signer: testSigner(), onUnreadable() {}, timeLimitMs: 60_000 });
  t.teardown(() => cmdb.close());
  await cmdb.apply({ put: [testApp()], remove: [] });
  const code = `setInterval(() => {}, 1_000);
  await cmdb.update('shop', (d) => { process.kill(process.pid, 'SIGSTOP'); return { ...d }; });`;
  const stopped = spawn(process.execPath, ['--input-type=module', '-e', script(path, code)], { stdio: 'ignore' });
  t.teardown(() => stopped.kill('SIGKILL'));
  await until(async () => {
    const stat = await readFile(`/proc/${stopped.pid}/stat`, 'utf8');
    return / T /.test(stat.slice(stat.lastIndexOf(')'))) || undefined;
  });
  let written = false;
  const writing = cmdb.update('shop', (current) => ({ ...current })).then(() => (written = true));
  // A newcomer has to wait for the lock as well, and must not be lost either.
  const newcomer = promisify(execFile)(process.execPath, [
    '--input-type=module',
    '-e',
    script(path, `await cmdb.update('shop', (d) => ({ ...d }));`),
  ]);
  for (let round = 0; round < 20; round += 1) {
    t.ok(await cmdb.find({ app: 'shop' }), 'reads go on');
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  t.notOk(written);
  stopped.kill('SIGKILL');
  await writing;
  await newcomer;
  t.ok(written);
});

t.test('other work of the process goes on while thousands of apps are walked', async (t) => {
  const cmdb = openLmdbCmdb({ path: await directory(t), signer: testSigner(), onUnreadable() {} });
  t.teardown(() => cmdb.close());
  const names = Array.from({ length: 1_000 }, (_, index) => `app-${index}`);
  const put = names.map((name) => testApp({ name, domains: [`${name}.example`], scale: { min: 1, max: 1 } }));
  await cmdb.apply({ put, remove: [] });
  for (const which of ['all', 'active'] as const) {
    let turns = 0;
    let walking = true;
    const count = () => {
      turns += 1;
      if (walking) setImmediate(count);
    };
    setImmediate(count);
    const seen: string[] = [];
    for await (const { app } of cmdb.list(which)) seen.push(app.name);
    walking = false;
    t.same(seen.toSorted(), names.toSorted());
    t.ok(turns >= 10, `the event loop turned ${turns} times`);
  }
});

t.test('a change of thousands of apps is written a few at a time, with turns of the event loop between', async (t) => {
  const path = await directory(t);
  const cmdb = openLmdbCmdb({ path, signer: testSigner(), onUnreadable() {} });
  t.teardown(() => cmdb.close());
  const names = Array.from({ length: 1_000 }, (_, index) => `app-${index}`);
  const apps = (idleTtlMs: number) => names.map((name) => testApp({ name, domains: [`${name}.example`], idleTtlMs }));
  await cmdb.apply({ put: apps(1_000), remove: [] });
  const isChanged = async (app: string) => (await cmdb.find({ app }))?.app.idleTtlMs === 2_000;
  const applied = cmdb.apply({ put: apps(2_000), remove: [] });
  const inTurn: number[] = [];
  let count = 0;
  while (count < names.length) {
    let now = count;
    while (now < names.length && (await isChanged(names[now] as string))) now += 1;
    inTurn.push(now - count);
    count = now;
    await turn();
  }
  await applied;
  t.ok(Math.max(...inTurn) <= 50, `${Math.max(...inTurn)} in a turn`);
});
