import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { statOf } from '../../../src/machine/proc-fs.js';
import { ControlGroups, hierarchiesOf } from '../../../src/runtime/kept/control-groups.js';
import type { App } from '../../../src/model/app.js';
import type { Runtime } from '../../../src/runtime/runtime.js';
import { testApp } from '../../fixtures/app.js';
import { eventually } from '../../fixtures/eventually.js';
import { boot, shell, useProcesses } from './open-processes.js';
import { readRecord } from './record-file.js';

const isRoot = process.getuid?.() === 0;
const probe = await ControlGroups.open(`test-${process.pid}`, false);
probe.close();
const why = isRoot ? 'there are no control groups to write to' : 'needs root';
const needsGroups = { skip: !(isRoot && probe.areAvailable) && why };
const needsRoot = { skip: !isRoot && 'needs root' };

/** A directory that every user may write to. */
async function openDirectory(t: Test): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'fastcontainer-open-'));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  await chmod(directory, 0o1777);
  return directory;
}

async function wordsOf(runtime: Runtime, changes: Partial<App>): Promise<string> {
  const { id } = await boot(runtime, changes);
  await eventually(async () => (await runtime.inspect(id)).state === 'exited');
  return runtime.output(id, 100_000);
}

/** Starts what writes its pid and stays, in a session of its own, without environment or parents. */
function escape(pidFile: string): string {
  const inner = `echo $$ >${pidFile}.new; mv ${pidFile}.new ${pidFile}; exec sleep 1000`;
  return `(setsid env -i /bin/sh -c '${inner}' >/dev/null 2>&1 </dev/null &)`;
}

async function escaped(pidFile: string): Promise<number> {
  return Number(await eventually(() => readFile(pidFile, 'utf8').catch(() => undefined)));
}

t.test(
  'a process that left its session and its parents and cleared its environment ends with its instance',
  needsGroups,
  async (t) => {
    const processes = await useProcesses(t);
    const runtime = await processes.open();
    const pidFile = join(await openDirectory(t), 'pid');
    const { id } = await boot(runtime, { ...shell(`${escape(pidFile)}; exec sleep 1000`), user: 'auto' });
    const pid = await escaped(pidFile);
    t.equal(statOf(pid)?.group, pid, 'it runs in a group of its own');
    await runtime.stop(id, 0);
    t.notOk(statOf(pid));
  },
);

t.test('what an app left behind when it ended is ended as well', needsGroups, async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  const pidFile = join(await openDirectory(t), 'pid');
  const ends = `${escape(pidFile)}; while ! [ -s ${pidFile} ]; do sleep 0.05; done`;
  await boot(runtime, { ...shell(ends), user: 'auto' });
  const pid = await escaped(pidFile);
  await eventually(() => !statOf(pid));
});

t.test('an app has its user alone: no groups, no capabilities, no way to gain any', needsRoot, async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  const words = await wordsOf(runtime, { command: ['cat', '/proc/self/status'], user: 'auto' });
  const field = (name: string) => new RegExp(`^${name}:[ \\t]*(.*)$`, 'm').exec(words)?.[1]?.trim();
  t.match(field('Uid'), /^(19000000\d\d)\t\1\t\1\t\1$/);
  t.equal(field('Gid'), field('Uid'));
  t.equal(field('Groups'), '');
  for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) t.equal(Number(`0x${field(set)}`), 0, set);
  t.equal(field('NoNewPrivs'), '1');
});

t.test('an app that is root keeps what root has, but gains nothing more and has no groups', needsRoot, async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  const words = await wordsOf(runtime, { command: ['cat', '/proc/self/status'], user: 'root' });
  t.match(words, /^Groups:[ \t]*$/m);
  t.match(words, /^NoNewPrivs:\s*1$/m);
  t.notMatch(words, /^CapEff:\s*0+$/m);
});

t.test('nothing of an environment is in force before the app has its user', needsRoot, async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  const directory = await openDirectory(t);
  // The loader of each program writes a file, as the user that it loads the program for.
  const env = { LD_DEBUG: 'files', LD_DEBUG_OUTPUT: join(directory, 'loaded') };
  await wordsOf(runtime, { command: ['true'], user: 'auto', env });
  const owners = await Promise.all(
    (await readdir(directory)).map(async (file) => (await stat(join(directory, file))).uid),
  );
  t.ok(owners.length > 0, 'it is in force in the app');
  t.same([...new Set(owners)], [1_900_000_000]);
});

t.test('an environment arrives as it was written, whatever a shell makes of it', async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  const env = { A: '$(id) `id` "\\ \' * ~', B: 'two\nlines', C: '', PWD: '/elsewhere', D: '${A}' };
  const command = [process.execPath, '-p', 'JSON.stringify(process.env)'];
  const told = JSON.parse(await wordsOf(runtime, { command, env })) as Record<string, string>;
  for (const [name, value] of Object.entries(env)) t.equal(told[name], value, name);
  t.notOk(Object.keys(told).some((name) => name.startsWith('_fastcontainer')));
});

t.test('limits hold for processes', needsGroups, async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  const limits = { memoryBytes: 64 * 1024 ** 2, pids: 20, files: 100, cpus: 0.5, cpuWeight: 50 };
  t.equal(await wordsOf(runtime, { ...shell('ulimit -n; ulimit -Hn'), user: 'auto', limits }), '100\n100\n');
  if (!probe.missing.includes('memory')) {
    const hog = 'const held = []; for (;;) held.push(Buffer.alloc(8 * 1024 ** 2, 1));';
    const { id } = await boot(runtime, { command: [process.execPath, '-e', hog], user: 'auto', limits });
    const ended = await eventually(async () => {
      const seen = await runtime.inspect(id);
      return seen.state === 'exited' ? seen : undefined;
    });
    t.match(ended, { cause: /SIGKILL/ });
  }
  if (!probe.missing.includes('pids')) {
    const many = 'i=0; while [ $i -lt 40 ]; do sleep 100 & i=$((i+1)); done';
    t.match(await wordsOf(runtime, { ...shell(many), user: 'auto', limits }), /[Cc]annot fork/);
  }
  const { id } = await boot(runtime, { command: ['sleep', '100'], user: 'auto', limits });
  const { groups = [] } = await readRecord(processes.stateDir, id);
  const figure = async (file: string) => {
    const path = groups.map((group) => join(group, file)).find((found) => existsSync(found));
    return path === undefined ? '' : (await readFile(path, 'utf8')).trim();
  };
  if (!probe.missing.includes('cpu')) {
    t.match(`${await figure('cpu.max')} ${await figure('cpu.cfs_quota_us')}`, /50000/);
    t.match(`${await figure('cpu.weight')} ${await figure('cpu.shares')}`, /^(50 | 512)$/);
  }
});

t.test(
  'groups go with their instances, and those that nobody knows when a dispatcher starts',
  needsGroups,
  async (t) => {
    const processes = await useProcesses(t);
    const runtime = await processes.open();
    const { id } = await boot(runtime, { command: ['sleep', '100'], user: 'auto' });
    const { groups = [] } = await readRecord(processes.stateDir, id);
    t.ok(groups.length > 0 && groups.every((group) => existsSync(group)));
    const left = await ControlGroups.open(processes.stateDir, false);
    await left.create('left-1', { cpuWeight: 100 });
    const [entered = ''] = left.pathsOf('left-1');
    const script = 'echo 0 >"$1"; echo; exec sleep 1000';
    const child = spawn('/bin/sh', ['-c', script, 'sh', join(entered, 'cgroup.procs')], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const exited = once(child, 'exit');
    await once(child.stdout, 'data');
    await processes.open();
    t.same(await exited, [null, 'SIGKILL'], 'what ran in one of them is ended');
    await processes.open();
    t.notOk(
      left.pathsOf('left-1').some((group) => existsSync(group)),
      'and the next dispatcher removes it at the latest',
    );
    t.ok(
      groups.every((group) => existsSync(group)),
      'that of an instance stays',
    );
    await runtime.stop(id, 0);
    t.notOk(groups.some((group) => existsSync(group)));
  },
);

t.test('a directory that the user may not enter is named', needsRoot, async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  const closed = join(await openDirectory(t), 'closed');
  await mkdir(closed, { mode: 0o700 });
  await t.rejects(boot(runtime, { command: ['ls'], cwd: closed, user: 'auto' }), {
    message: /its user \(1900000\d+\) may not enter .*closed/,
  });
  t.same(await processes.traces(), []);
});

t.test('the group of this process is found in each hierarchy, also within a container', async (t) => {
  const mounts = [
    '30 23 0:26 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw,nsdelegate',
    '32 23 0:28 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid shared:10 - cgroup cgroup rw,cpu,cpuacct',
    '33 23 0:29 /docker/c1 /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids',
    '34 23 0:30 / /mnt/with\\040space rw - cgroup cgroup rw,memory',
    '35 23 0:31 / /elsewhere rw - cgroup cgroup rw,freezer',
    '36 23 0:32 / /tmp rw - tmpfs tmpfs rw',
  ].join('\n');
  const own =
    '5:memory:/a\n4:pids:/docker/c1/inner\n3:cpu,cpuacct:/system.slice\n1:name=systemd:/x\n0::/system.slice/f.service\n';
  t.same(
    hierarchiesOf(mounts, own).map((found) => `${found.version} ${found.controllers.join()} ${found.own}`),
    [
      '2  /sys/fs/cgroup/unified/system.slice/f.service',
      '1 cpu,cpuacct /sys/fs/cgroup/cpu,cpuacct/system.slice',
      '1 pids /sys/fs/cgroup/pids/inner',
      '1 memory /mnt/with space/a',
    ],
  );
  t.same(hierarchiesOf('1 1 0:1 / /c rw - cgroup2 c rw', '0::/../outside\n'), [], 'one that lies outside is of no use');
  t.same(hierarchiesOf('', ''), []);
});

t.test('a control group that a process is still counted in goes with the next one', needsGroups, async (t) => {
  const groups = await ControlGroups.open(`test-left-${process.pid}`, false);
  t.teardown(() => groups.close());
  for (const id of ['a', 'b']) await groups.create(id, testApp().limits);
  const held = spawn('sleep', ['1000'], { stdio: 'ignore' });
  t.teardown(() => held.kill('SIGKILL'));
  for (const path of groups.pathsOf('a')) await writeFile(join(path, 'cgroup.procs'), String(held.pid));
  groups.remove(groups.pathsOf('a'));
  t.ok(groups.pathsOf('a').every((path) => existsSync(path)));
  const ended = once(held, 'exit');
  held.kill('SIGKILL');
  await ended;
  groups.remove(groups.pathsOf('b'));
  t.notOk([...groups.pathsOf('a'), ...groups.pathsOf('b')].some((path) => existsSync(path)));
});

t.test('what makes the kernel ready for a new group moves nobody', needsGroups, async (t) => {
  const groups = await ControlGroups.open(`test-ready-${process.pid}`, false);
  t.teardown(() => groups.close());
  const before = await readFile('/proc/self/cgroup', 'utf8');
  await groups.makeReady();
  t.equal(await readFile('/proc/self/cgroup', 'utf8'), before);
});
