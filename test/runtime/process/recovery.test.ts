import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdir, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import t, { type Test } from 'tap';
import { type App, revisionOf } from '../../../src/model/app.js';
import type { Address } from '../../../src/model/instance.js';
import { identify, isRunning, type ProcessIdentity, statOf } from '../../../src/machine/proc-fs.js';
import { membersOf } from '../../../src/runtime/kept/members.js';
import type { ProcessRecord } from '../../../src/runtime/kept/records.js';
import { testApp } from '../../fixtures/app.js';
import { eventually } from '../../fixtures/eventually.js';
import { boot, newId, type Processes, shell, useProcesses, webApp } from './open-processes.js';
import { readRecord, writeRecord } from './record-file.js';

/** One instance per run of this file; each test removes it. */
const found = newId('found');
const survivor = newId('survivor');
const secret = randomBytes(16).toString('hex');
const dead: ProcessIdentity = { ...identify(process.pid), startTime: '1' };

/** A dispatcher process that has booted one app. */
async function dispatch(t: Test, { options }: Processes, app: App, stays: boolean) {
  const { logger: _logger, clock: _clock, ...told } = options;
  const spec = { id: survivor, app, revision: revisionOf(app) };
  const script = resolve('test/fixtures/dispatcher.mjs');
  const child = spawn(process.execPath, [script, JSON.stringify({ options: told, spec, stays })], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  const exited = once(child, 'exit');
  const [line] = (await once(createInterface({ input: child.stdout }), 'line')) as [string];
  return { child, exited, address: JSON.parse(line) as Address };
}

/** A process of its own session, as the runtime starts them. */
function startSleeper(t: Test, env: Record<string, string> = {}, uid?: number): ChildProcess & { pid: number } {
  const child = spawn('sleep', ['100'], {
    detached: true,
    stdio: 'ignore',
    env: { PATH: process.env['PATH'], ...env },
    ...(uid !== undefined && { uid, gid: uid }),
  });
  t.teardown(() => child.kill('SIGKILL'));
  return child as ChildProcess & { pid: number };
}

function recordOf(processes: Processes, changes: Partial<ProcessRecord>): ProcessRecord {
  const { cmdbName: cmdb, ports } = processes.options;
  const basis = { v: 1, id: found, app: 'shop', revision: 'r', cmdb, host: '127.0.0.1', port: ports.from } as const;
  return { ...basis, booter: dead, ...changes };
}

t.test('a dispatcher that is killed leaves its app running, found, followed and stopped by the next', async (t) => {
  const processes = await useProcesses(t);
  const app = testApp({ command: webApp });
  const { child, exited, address } = await dispatch(t, processes, app, true);
  child.kill('SIGKILL');
  await exited;
  const ask = () => fetch(`http://127.0.0.1:${address.port}/`, { headers: { connection: 'close' } });
  const { pid } = (await (await eventually(ask)).json()) as { pid: number };
  const runtime = await processes.open();
  const exits: string[] = [];
  runtime.watch(({ id }) => void exits.push(id));
  t.same(await runtime.list(), [{ id: survivor, app: 'shop', revision: revisionOf(app), running: true, address }]);
  t.match(await runtime.inspect(survivor), { state: 'running', listening: true });
  t.match(await (await ask()).json(), { pid, instance: survivor });
  await runtime.stop(survivor, 5_000);
  t.notOk(statOf(pid));
  t.same(await processes.traces(), []);
});

t.test('what a killed dispatcher started is reported once when it ends', async (t) => {
  const processes = await useProcesses(t);
  const { child, exited } = await dispatch(t, processes, testApp({ command: ['sleep', '100'] }), true);
  child.kill('SIGKILL');
  await exited;
  const runtime = await processes.open();
  const exits: unknown[] = [];
  runtime.watch((exit) => void exits.push(exit));
  process.kill((await readRecord(processes.stateDir, survivor)).process?.pid ?? 0, 'SIGKILL');
  await eventually(() => exits.length > 0);
  t.match(await runtime.inspect(survivor), { state: 'exited', cause: 'signal SIGKILL' });
  t.match(await runtime.list(), [{ id: survivor, running: false }]);
  await runtime.stop(survivor, 1_000);
  t.match(exits, [{ id: survivor, app: 'shop', cause: 'signal SIGKILL' }]);
});

t.test('what runs does not keep a dispatcher from ending', async (t) => {
  const processes = await useProcesses(t);
  const { exited } = await dispatch(t, processes, testApp({ command: ['sleep', '100'] }), false);
  t.same(await exited, [0, null]);
  const runtime = await processes.open();
  t.match(await runtime.list(), [{ id: survivor, running: true }]);
});

t.test('a process whose dispatcher died before it wrote it down is known to its keeper', async (t) => {
  const processes = await useProcesses(t);
  const { child, exited } = await dispatch(t, processes, testApp({ command: ['sleep', '100'] }), true);
  child.kill('SIGKILL');
  await exited;
  const { process: main, ...unfinished } = await readRecord(processes.stateDir, survivor);
  await writeRecord(processes.stateDir, unfinished);
  const runtime = await processes.open();
  t.match(await runtime.list(), [{ id: survivor, running: true }]);
  t.match(await runtime.inspect(survivor), { state: 'running', listening: false });
  t.same((await readRecord(processes.stateDir, survivor)).process, main);
  await runtime.stop(survivor, 1_000);
  await eventually(() => !statOf(main?.pid ?? 0));
});

t.test(
  'what knows only the public id of an instance, or carries its marker as another user, is none of it',
  async (t) => {
    const processes = await useProcesses(t);
    const owner = { secret, uid: process.getuid?.() ?? 0 };
    const strangers = [startSleeper(t, { FASTCONTAINER_INSTANCE: found })];
    if (owner.uid === 0) strangers.push(startSleeper(t, { FASTCONTAINER_MARKER: secret }, 12_345));
    await writeRecord(processes.stateDir, recordOf(processes, owner));
    const runtime = await processes.open();
    t.match(await runtime.list(), [{ id: found, running: false }], 'it does not take the place of one that boots');
    const { pid } = startSleeper(t);
    await writeRecord(processes.stateDir, recordOf(processes, { ...owner, process: identify(pid) }));
    const members = await membersOf(recordOf(processes, { ...owner, process: identify(strangers[0]!.pid) }));
    t.notOk(
      members.some((member) => member.pid === strangers[1]?.pid),
      'nor does it count beside its main process',
    );
    await runtime.stop(found, 1_000);
    for (const stranger of strangers) t.ok(statOf(stranger.pid), 'and it is left alone');
  },
);

t.test(
  'a process whose keeper and dispatcher died before they wrote it down is found by its marker, and ended',
  async (t) => {
    const processes = await useProcesses(t);
    const { pid } = startSleeper(t, { FASTCONTAINER_MARKER: secret });
    await writeRecord(processes.stateDir, recordOf(processes, { secret, uid: process.getuid?.() ?? 0 }));
    const runtime = await processes.open();
    await eventually(() => !statOf(pid));
    t.match(await runtime.list(), [{ id: found, running: false }]);
    t.match(await runtime.inspect(found), { state: 'exited', cause: 'its keeper ended' });
    await runtime.stop(found, 1_000);
  },
);

t.test('a dispatcher that died before it started anything leaves a dead instance', async (t) => {
  const processes = await useProcesses(t);
  await writeRecord(processes.stateDir, recordOf(processes, {}));
  const runtime = await processes.open();
  t.match(await runtime.list(), [{ id: found, running: false }]);
  t.match(await runtime.inspect(found), { state: 'exited' });
  await runtime.stop(found, 1_000);
  t.same(await runtime.list(), []);
});

t.test('an instance that another dispatcher is about to start is not dead', async (t) => {
  const processes = await useProcesses(t);
  await writeRecord(processes.stateDir, recordOf(processes, { booter: identify(process.ppid) }));
  const runtime = await processes.open();
  t.match(await runtime.list(), [{ id: found, running: true }]);
  t.match(await runtime.inspect(found), { state: 'running', listening: false });
});

t.test('a pid that is another process by now, or was before the machine restarted, is not trusted', async (t) => {
  const processes = await useProcesses(t);
  const { pid } = startSleeper(t);
  const now = identify(pid);
  const others = [
    { ...now, startTime: String(Number(now.startTime) - 1) },
    { ...now, bootId: '00000000-0000-0000-0000-000000000000' },
    { ...now, startTime: '' },
  ];
  for (const process of others) {
    await writeRecord(processes.stateDir, recordOf(processes, { process }));
    const runtime = await processes.open();
    t.match(await runtime.list(), [{ id: found, running: false }]);
    t.match(await runtime.inspect(found), { state: 'exited' });
    await runtime.stop(found, 100);
    t.same(await runtime.list(), []);
    t.ok(isRunning(now), 'it was left alone');
  }
});

t.test("a group whose leader is long dead may be another's and is left alone", async (t) => {
  const processes = await useProcesses(t);
  const script = 'sleep 100 & echo $!; exit 0';
  const leader = spawn('/bin/sh', ['-c', script], { detached: true, stdio: ['ignore', 'pipe', 'ignore'] });
  const { pid = 0 } = leader;
  const identity = identify(pid);
  const [text] = (await once(leader.stdout, 'data')) as [Buffer];
  const member = identify(Number(text));
  t.teardown(() => process.kill(member.pid, 'SIGKILL'));
  await eventually(() => !isRunning(identity));
  await writeRecord(processes.stateDir, recordOf(processes, { process: identity }));
  const runtime = await processes.open();
  await runtime.stop(found, 100);
  t.ok(isRunning(member));
});

t.test('a zombie is dead', async (t) => {
  const processes = await useProcesses(t);
  // The shell becomes a program that does not reap its child.
  const script = 'sleep 0.3 & echo $!; exec sleep 100';
  const parent = spawn('/bin/sh', ['-c', script], { stdio: ['ignore', 'pipe', 'ignore'] });
  t.teardown(() => parent.kill('SIGKILL'));
  const [text] = (await once(parent.stdout, 'data')) as [Buffer];
  const child = identify(Number(text));
  await writeRecord(processes.stateDir, recordOf(processes, { process: child }));
  const runtime = await processes.open();
  await eventually(async () => (await runtime.list())[0]?.running === false);
  t.ok(process.kill(child.pid, 0), 'though the kernel still knows it');
  t.match(await runtime.inspect(found), { state: 'exited' });
  await runtime.stop(found, 1_000);
  t.same(await runtime.list(), []);
});

t.test('records that cannot be read are reported once and skipped', async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  const { id } = await boot(runtime, { command: ['sleep', '100'] });
  // It would find them, too, as soon as it hears of the next one.
  await runtime.close();
  const broken = ['', '{', 'null', '{"v":2}', '{"v":1,"id":"broken-5"}', '[]'];
  for (const [index, text] of broken.entries()) {
    await writeFile(join(processes.stateDir, 'instances', `broken-${index}.json`), text);
  }
  const everything = newId('everything');
  const all = recordOf(processes, { id: everything, process: { ...identify(process.pid), pid: -1 } });
  await writeRecord(processes.stateDir, all);
  const next = await processes.open();
  for (let count = 0; count < 3; count += 1) t.match(await next.list(), [{ id, running: true }]);
  const said = processes.log.filter(({ msg }) => /cannot be read and is skipped/.test(String(msg)));
  t.equal(said.length, broken.length + 1);
  await next.stop(everything, 10);
});

t.test('instances of another CMDB in the same directory are not ours', async (t) => {
  const processes = await useProcesses(t);
  await boot(await processes.open(), { command: ['sleep', '100'] });
  const other = await processes.open({ cmdbName: 'other' });
  t.same(await other.list(), []);
});

t.test('an instance of another installation of the same name is left alone, and said once', async (t) => {
  const processes = await useProcesses(t);
  const first = await processes.open();
  const { id } = await boot(first, { command: ['sleep', '100'] });
  const other = await processes.open({ installation: 'another' });
  const seen: string[] = [];
  other.watch((exit) => void seen.push(exit.id));
  for (let count = 0; count < 3; count += 1) t.same(await other.list(), []);
  const said = processes.log.filter(({ msg }) => /another installation with the same cmdb.name/.test(String(msg)));
  t.match(said, [{ instance: id, app: 'shop', stateDir: processes.stateDir }]);
  await t.rejects(other.stop(id, 0), { message: /another installation's: it is not touched/ });
  await t.rejects(other.inspect(id), { message: /another installation's/ });
  const own = await boot(other, { command: ['sleep', '100'] });
  t.match(await other.list(), [{ id: own.id, running: true }]);
  t.match(await first.list(), [{ id, running: true }]);
  await first.stop(id, 0);
  process.kill((await readRecord(processes.stateDir, own.id)).process?.pid ?? 0, 'SIGKILL');
  await eventually(() => seen.length > 0);
  t.same(seen, [own.id], 'nor does it hear of the exit');
  await other.stop(own.id, 0);
});

t.test('what a dispatcher of another installation left is not ended, and is taken up by its own', async (t) => {
  const processes = await useProcesses(t);
  // The eldest here looks after what the dead left of its own installation alone.
  await processes.open({ installation: 'another' });
  const { child, exited } = await dispatch(t, processes, testApp({ command: ['sleep', '100'] }), true);
  child.kill('SIGKILL');
  await exited;
  const runtime = await processes.open();
  const seen: string[] = [];
  runtime.watch((exit) => void seen.push(exit.id));
  t.match(await runtime.list(), [{ id: survivor, running: true }]);
  process.kill((await readRecord(processes.stateDir, survivor)).process?.pid ?? 0, 'SIGKILL');
  await eventually(() => seen.length > 0);
  t.same(seen, [survivor]);
  await runtime.stop(survivor, 0);
});

t.test('output without an instance is removed', async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  const { id } = await boot(runtime, shell('echo here; exec sleep 100'));
  await eventually(async () => (await runtime.output(id, 100)) === 'here\n');
  for (const kind of ['log', 'old', 'exit']) await writeFile(join(processes.stateDir, 'output', `gone.${kind}`), 'old');
  await processes.open();
  t.same(await readdir(join(processes.stateDir, 'output')), [`${id}.log`]);
});

t.test('of several dispatchers one follows what a dead one started, and the next takes over from it', async (t) => {
  const processes = await useProcesses(t);
  const ticks = 'i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.05; done';
  const { child, exited } = await dispatch(t, processes, testApp({ command: ['/bin/sh', '-c', ticks] }), true);
  const eldest = await processes.open();
  const next = await processes.open();
  child.kill('SIGKILL');
  await exited;
  const seen = () => processes.log.flatMap(({ output }) => (typeof output === 'string' ? [output] : []));
  await eventually(() => seen().length > 20);
  await eldest.close();
  const before = seen().length;
  await eventually(() => seen().length > before + 20);
  t.equal(new Set(seen()).size, seen().length, 'each line once');
  const exits: unknown[] = [];
  next.watch((exit) => void exits.push(exit));
  process.kill((await readRecord(processes.stateDir, survivor)).process?.pid ?? 0, 'SIGKILL');
  await eventually(() => exits.length > 0);
  t.match(exits, [{ id: survivor, app: 'shop', cause: 'signal SIGKILL' }]);
  await next.stop(survivor, 100);
});

t.test('what another dispatcher stops has its whole grace, though its main process ends at once', async (t) => {
  const processes = await useProcesses(t);
  const saved = join(processes.stateDir, 'saved');
  // The shell ends at SIGTERM; what it started ignores it and takes its time.
  const worker = `trap "" TERM; touch ${saved}.up; while [ -d ${processes.stateDir} ]; do sleep 0.1; [ -e ${saved}.go ] && break; done; sleep 0.5; touch ${saved}`;
  const script = `/bin/sh -c '${worker}' & wait`;
  await dispatch(t, processes, testApp({ command: ['/bin/sh', '-c', script] }), true);
  const runtime = await processes.open();
  const { process: main } = await readRecord(processes.stateDir, survivor);
  // Before that it would end at SIGTERM like any other.
  await eventually(async () => (await readdir(processes.stateDir)).includes('saved.up'));
  const stopping = runtime.stop(survivor, 20_000);
  await eventually(() => main !== undefined && !isRunning(main));
  await writeFile(`${saved}.go`, '');
  await stopping;
  t.ok((await readdir(processes.stateDir)).includes('saved'), 'it was let finish');
});
