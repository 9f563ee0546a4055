import { chmod, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import type { App } from '../../../src/model/app.js';
import type { Runtime } from '../../../src/runtime/runtime.js';
import { accountOf } from '../../../src/runtime/kept/account.js';
import { eventually } from '../../fixtures/eventually.js';
import { boot, newId, shell, useProcesses } from './open-processes.js';

const isRoot = process.getuid?.() === 0;

/** What an app that ends at once has written. */
async function wordsOf(runtime: Runtime, changes: Partial<App>): Promise<string> {
  const { id } = await boot(runtime, changes);
  await eventually(async () => (await runtime.inspect(id)).state === 'exited');
  return runtime.output(id, 100_000);
}

t.test('an app is told where to listen and who it is, and nothing else of the dispatcher', async (t) => {
  process.env['DATABASE_PASSWORD'] = 'secret';
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  const { id, app, address } = await boot(runtime, { command: ['env', '-0'], env: { GREETING: 'hi', PORT: '1' } });
  await eventually(async () => (await runtime.inspect(id)).state === 'exited');
  const output = (await runtime.output(id, 100_000)).split('^@').filter(Boolean);
  // The test runner adds its own to every process that is spawned.
  const lines = output.filter((line) => !/^(_TAPJS_|NODE_OPTIONS=)/.test(line));
  const told = Object.fromEntries(lines.map((line) => [line.split('=')[0], line.slice(line.indexOf('=') + 1)]));
  const { PATH: _path, HOME: _home, LANG: _lang, TZ: _tz, ...known } = told;
  const { FASTCONTAINER_REVISION: revision, FASTCONTAINER_MARKER: secret, TMPDIR: tmp, ...rest } = known;
  t.same(rest, {
    GREETING: 'hi',
    HOST: '127.0.0.1',
    PORT: String(address.port),
    FASTCONTAINER_APP: app.name,
    FASTCONTAINER_INSTANCE: id,
    FASTCONTAINER_CMDB: 'test',
    FASTCONTAINER_SCRATCH: tmp,
  });
  t.equal(revision, (await runtime.list())[0]?.revision);
  t.match(secret, /^[0-9a-f]{32}$/);
});

t.test('an app runs in a session and group of its own, with no descriptor but its output', async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  const words = await wordsOf(runtime, shell('cat /proc/$$/stat; ls /proc/$$/fd | tr "\\n" " "'));
  const [, pid, group, session] = /^(\d+) \(sh\) \S \d+ (\d+) (\d+)/.exec(words) ?? [];
  t.equal(group, pid);
  t.equal(session, pid);
  t.match(words, /\n0 1 2 ?/);
});

t.test('an app runs in its directory', async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  t.equal(await wordsOf(runtime, { command: ['pwd'], cwd: '/usr' }), '/usr\n');
});

t.test('an app runs as its user, without groups of the dispatcher', { skip: !isRoot && 'needs root' }, async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  const who = shell('echo $(id -u) $(id -g) $(id -G) $HOME');
  const nobody = accountOf('nobody');
  const { uid, gid, home } = nobody;
  t.equal(await wordsOf(runtime, { ...who, user: 'nobody' }), `${uid} ${gid} ${gid} ${home}\n`);
  t.equal(await wordsOf(runtime, { ...who, user: '12345:23456' }), '12345 23456 23456 /\n');
  t.equal(await wordsOf(runtime, { ...who, user: '12345' }), '12345 12345 12345 /\n');
  t.equal(await wordsOf(runtime, { ...who, user: String(uid) }), `${uid} ${gid} ${gid} ${home}\n`, 'a known number');
});

t.test('a user that cannot be is refused by name, with what to do', async (t) => {
  const passwd = 'root:x:0:0:root:/root:/bin/sh\nbroken:x\nodd:x:no:1::/:/bin/sh\n';
  const databases = { passwd, group: 'www:x:33:\n' };
  t.throws(() => accountOf('nobody-at-all', databases), { message: /nobody-at-all.*create it/ });
  t.throws(() => accountOf('broken', databases), { message: /no user 'broken'/ });
  t.throws(() => accountOf('odd', databases), { message: /odd.*correct 'user'/ });
  t.throws(() => accountOf('4294967295', databases), { message: /4294967295/ });
  t.throws(() => accountOf('', databases), { message: /no user ''/ });
  t.throws(() => accountOf('root:no-such-group', databases), { message: /no group 'no-such-group'/ });
  t.throws(() => accountOf('root:0:0', databases), { message: /more than one colon/ });
});

t.test('a user by name has the groups of that name, one by number none', async (t) => {
  const passwd = 'web:x:33:34:Web:/srv/web:/bin/sh\n';
  const group = 'www:x:34:\nlogs:x:35:other,web\nspool:x:36:web\nnone:x:37:webmaster\n';
  const databases = { passwd, group };
  t.same(accountOf('web', databases), { uid: 33, gid: 34, groups: [35, 36], home: '/srv/web' });
  t.same(accountOf('web:spool', databases), { uid: 33, gid: 36, groups: [35], home: '/srv/web' });
  t.same(accountOf('33', databases), { uid: 33, gid: 34, groups: [], home: '/srv/web' });
  t.same(accountOf('33:7', databases), { uid: 33, gid: 7, groups: [], home: '/srv/web' });
  t.same(accountOf('77', databases), { uid: 77, gid: 77, groups: [], home: '/' });
});

t.test('what cannot be started is refused with its name and what to do, and leaves nothing', async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  const plain = join(processes.stateDir, 'plain-file');
  await writeFile(plain, 'no program');
  await chmod(plain, 0o644);
  const orphan = join(processes.stateDir, 'orphan-script');
  await writeFile(orphan, '#!/no/such/interpreter\n');
  await chmod(orphan, 0o755);
  const cases: [Partial<App>, RegExp][] = [
    [{ command: ['no-such-program'] }, /no-such-program.*no such program on PATH/],
    [{ command: [orphan] }, /orphan-script.*#! line names is missing/],
    [{ command: [plain] }, /plain-file.*check the permissions/],
    [{ command: ['ls'], cwd: '/no/such/directory' }, /'ls'.*there is no directory \/no\/such\/directory/],
    [{ command: ['ls'], cwd: plain }, /plain-file is not a directory/],
    [{ command: [] }, /has no command to run/],
    [{ command: [''] }, /has no command to run/],
    [{ command: ['ls'], env: { BAD: 'nul\0byte' } }, /cannot run 'ls'/],
    [{ command: ['ls', 'x'.repeat(4_000_000)] }, /too large/],
    [{ command: ['ls'], user: 'nobody-at-all' }, /nobody-at-all/],
  ];
  for (const [changes, message] of cases) await t.rejects(boot(runtime, changes), { message });
  t.same(await runtime.list(), []);
  t.same(await processes.traces(), []);
});

t.test('an id that is no file name is refused and leaves nothing; one that exists is not used again', async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  for (const id of ['', '..', '../x', 'A', 'a/b', 'a\0', 'a'.repeat(200)]) {
    await t.rejects(boot(runtime, { command: ['sleep', '100'] }, id), { message: /not an instance id/ }, `'${id}'`);
  }
  t.same(await processes.traces(), []);
  const { id } = await boot(runtime, { command: ['sleep', '100'] });
  await t.rejects(boot(runtime, { command: ['sleep', '100'] }, id), { message: /exists already/ });
  t.match(await runtime.list(), [{ id, running: true }], 'the first one runs on');
});

t.test('a stop that comes while an app boots ends that boot', async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  for (const turns of [0, 1, 5, 20, 100]) {
    const id = newId('late');
    const booting = boot(runtime, { command: ['sleep', '100'] }, id).catch((error: unknown) => error);
    for (let turn = 0; turn < turns; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    await runtime.stop(id, 0);
    await booting;
    t.same(await runtime.inspect(id), { state: 'gone' }, `after ${turns} turns`);
  }
  t.same(await processes.traces(), []);
});

t.test('an exit is not missed however early it comes', async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  const seen: string[] = [];
  runtime.watch(({ id, cause }) => void seen.push(`${id} ${cause}`));
  const ids = Array.from({ length: 6 }, () => newId('brief'));
  await Promise.all(ids.map((id) => boot(runtime, { command: ['false'] }, id)));
  await eventually(() => seen.length >= ids.length);
  t.same(seen.toSorted(), ids.map((id) => `${id} exit code 1`).toSorted());
});

t.test('nobody else can look into the state directory', async (t) => {
  const processes = await useProcesses(t);
  const stateDir = join(processes.stateDir, 'deep', 'state');
  await processes.open({ stateDir });
  for (const directory of ['', 'instances', 'output', 'ports']) {
    t.equal((await stat(join(stateDir, directory))).mode & 0o777, 0o700, directory);
  }
});
