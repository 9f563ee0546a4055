import { chmod, mkdir, readdir, stat, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { App } from '../../../src/model/app.js';
import type { Runtime } from '../../../src/runtime/runtime.js';
import { eventually } from '../../fixtures/eventually.js';
import { boot, newId, shell, useProcesses } from './open-processes.js';

const needsRoot = { skip: process.getuid?.() !== 0 && 'needs root' };
const user = '1900000050';

/** Boots an app that does `script`, and resolves to the scratch directory that it names when it is done. */
async function bootIn(runtime: Runtime, script: string, changes: Partial<App> = {}) {
  const booted = await boot(runtime, { ...shell(`${script}\necho "scratch=$TMPDIR."; exec sleep 100`), ...changes });
  const said = await eventually(async () => /scratch=(.*)\.\n/.exec(await runtime.output(booted.id, 10_000)));
  return { ...booted, path: said?.[1] ?? '' };
}

t.test('two instances of an app have a directory each for pid file and socket, gone with them', async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  const serve = `require('net').createServer().listen(process.env.FASTCONTAINER_SCRATCH + '/a-rather-long-name.sock', () => console.log('listens'))`;
  // `set -C` makes > fail if the file exists.
  const script = `set -C; echo $$ > "$TMPDIR/app.pid" || exit 1; '${process.execPath}' -e "${serve}" &\nwait_for() { while [ ! -S "$1" ]; do sleep 0.05; done; }; wait_for "$TMPDIR/a-rather-long-name.sock"`;
  const [first, second] = [await bootIn(runtime, script), await bootIn(runtime, script)];
  t.not(first.path, second.path);
  for (const { path } of [first, second]) {
    t.same((await readdir(path)).toSorted(), ['a-rather-long-name.sock', 'app.pid']);
    t.ok(path.length < 80, 'short enough for sockets');
  }
  await runtime.stop(first.id, 1_000);
  t.notOk(existsSync(first.path));
  t.ok(existsSync(second.path), 'the other one keeps its own');
  await runtime.stop(second.id, 1_000);
  t.same(await processes.traces(), []);
});

t.test('it belongs to the user of the instance alone', needsRoot, async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  const { path } = await bootIn(runtime, 'touch "$TMPDIR/mine" || exit 1', { user });
  const { uid, gid, mode } = await stat(path);
  t.same([uid, gid, mode & 0o7777], [Number(user), Number(user), 0o700]);
  const stranger = await bootIn(runtime, `ls ${path} && echo seen; ls ${processes.scratchDir} && echo listed`, {
    user: '1900000051',
  });
  t.notMatch(await runtime.output(stranger.id, 10_000), /seen|listed/);
});

t.test("an app's own TMPDIR stands", async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  const { id, path } = await bootIn(runtime, 'echo "own=$FASTCONTAINER_SCRATCH."', { env: { TMPDIR: '/tmp' } });
  t.equal(path, '/tmp');
  t.match(await runtime.output(id, 1_000), `own=${processes.scratchDir}/`);
});

t.test('whatever an app leaves goes, and nothing else with it', needsRoot, async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  const kept = t.testdir({ secret: 'of root', directory: { deep: 'of root' } });
  await chmod(kept, 0o755);
  const script = `cd "$TMPDIR"; umask 077
    ln -s ${kept} link; ln -s ${kept}/secret file; ln -s / root; ln -s . self
    mkdir -p a/b/c locked none sticky; touch a/b/c/file locked/file none/file sticky/file; mkdir locked/in; ln -s ${kept} locked/in/link
    mkfifo fifo; touch -- -rf "$(printf 'bad\\377name')" .hidden '..double'
    deep=.; for i in $(seq 60); do deep=$deep/d; done; mkdir -p $deep; ln -s ${kept} $deep/link
    chmod 1777 sticky; chmod 500 locked locked/in a/b; chmod 0 none; chmod 0 .`;
  const { id, path } = await bootIn(runtime, script, { user });
  t.ok((await readdir(path)).length >= 14, 'it left all that');
  await runtime.stop(id, 1_000);
  await eventually(() => !existsSync(path));
  t.same((await readdir(kept)).toSorted(), ['directory', 'secret']);
  t.same(await readdir(join(kept, 'directory')), ['deep']);
  t.same(await processes.traces(), []);
});

t.test('of what cannot be removed the log says whose it is and why', needsRoot, async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  const { id, path } = await bootIn(runtime, 'mkdir "$TMPDIR/mine"', { user });
  await mkdir(join(path, 'of root'));
  await writeFile(join(path, 'of root', 'file'), '');
  await runtime.stop(id, 1_000);
  await eventually(() => processes.log.some(({ msg }) => /cannot be removed completely/.test(String(msg))));
  const [line] = processes.log.filter(({ msg }) => /cannot be removed completely/.test(String(msg)));
  t.match(line, { instance: id, path, cause: /belongs to other users/ });
  t.ok(existsSync(join(path, 'of root', 'file')));
});

t.test('what instances left that are gone is removed at the next start; that of others stays', async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  const live = await bootIn(runtime, 'touch "$TMPDIR/in-use"');
  const { scratchDir } = processes;
  const [prefix, uid] = live.path.slice(scratchDir.length + 1).split('-');
  const left = join(scratchDir, `${prefix}-${uid}-0123456789ab`);
  const others = [`${prefix}x-${uid}-0123456789ab`, 'of somebody', `${prefix}-${uid}-0-1`].map((name) =>
    join(scratchDir, name),
  );
  for (const path of [left, ...others]) {
    await mkdir(join(path, 'deep'), { recursive: true });
    await writeFile(join(path, 'deep', 'file'), '');
  }
  await processes.open();
  await eventually(() => !existsSync(left));
  for (const path of others) t.ok(existsSync(join(path, 'deep', 'file')), path);
  t.ok(existsSync(join(live.path, 'in-use')));
  await runtime.stop(live.id, 1_000);
  t.notOk(existsSync(live.path));
});

t.test('a stop does not wait for very many files; what is left of them goes later, or at the next start', async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  const many = 'cd "$TMPDIR"; mkdir sub; seq 900 | xargs touch; cd sub; seq 900 | xargs touch';
  const [first, second] = [await bootIn(runtime, many), await bootIn(runtime, many)];
  await runtime.stop(first.id, 1_000);
  t.same(await runtime.inspect(first.id), { state: 'gone' });
  await eventually(() => !existsSync(first.path));
  await runtime.stop(second.id, 1_000);
  await runtime.close();
  t.ok(existsSync(second.path), 'closing does not wait either');
  await processes.open();
  await eventually(() => !existsSync(second.path));
  t.same(await processes.traces(), []);
  t.notOk(processes.log.some(({ msg }) => /cannot be removed/.test(String(msg))));
});

t.test('an app whose user could not enter it runs without one, which is said once', needsRoot, async (t) => {
  const processes = await useProcesses(t);
  const closed = join(t.testdir({ closed: {} }), 'closed');
  await chmod(closed, 0o700);
  const runtime = await processes.open({ scratchDir: join(closed, 'scratch') });
  for (const _ of [1, 2]) t.equal((await bootIn(runtime, '', { user })).path, '');
  const said = processes.log.filter(({ msg }) => /get no scratch directory/.test(String(msg)));
  t.equal(said.length, 1);
  t.match(
    said[0]?.['msg'],
    `they cannot enter ${closed}; run: chmod o+x ${closed}, or set runtimes.process.scratchDir`,
  );
  t.not((await bootIn(runtime, '')).path, '', 'the own user of the daemon has one');
});

t.test('a directory that cannot be made fails the boot, names the key, and leaves nothing', async (t) => {
  const processes = await useProcesses(t);
  const file = join(t.testdir({ file: '' }), 'file');
  const runtime = await processes.open({ scratchDir: file });
  await t.rejects(boot(runtime, { command: ['true'] }, newId('none')), { message: /see runtimes.process.scratchDir/ });
  t.same(await processes.traces(), []);
});
