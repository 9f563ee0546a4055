import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { createInterface } from 'node:readline';
import t, { type Test } from 'tap';
import { revisionOf } from '../../../src/model/app.js';
import { statOf } from '../../../src/proc-fs.js';
import { killUnborn } from '../../../src/runtime/process/unborn.js';
import type { Exit, Runtime } from '../../../src/runtime/runtime.js';
import { systemClock } from '../../../src/system-clock.js';
import { testApp } from '../../fixtures/app.js';
import { eventually } from '../../fixtures/eventually.js';
import { badLauncher, launchersOf, marked, readyLauncher } from './launcher-fixture.js';
import { boot, newId, type Processes, shell, useProcesses } from './open-processes.js';
import { readRecord } from './record-file.js';

const sleeper = { command: ['sleep', '100'] };

async function mainOf({ stateDir }: Processes, id: string): Promise<number> {
  return (await readRecord(stateDir, id)).process?.pid ?? 0;
}

/** The runtime with a launcher that is ready: its first app was started in place. */
async function withLauncher(
  t: Test,
  processes: Processes,
): Promise<{ runtime: Runtime; launcher: number; exits: Exit[] }> {
  const runtime = await processes.open();
  const exits: Exit[] = [];
  runtime.watch((exit) => void exits.push(exit));
  const { id } = await boot(runtime, sleeper);
  t.equal(statOf(await mainOf(processes, id))?.parent, process.pid);
  return { runtime, launcher: await readyLauncher(processes), exits };
}

t.test('the first app is started in place, the next ones by a launcher that ends with the runtime', async (t) => {
  const processes = await useProcesses(t, 'trace');
  const { runtime, launcher } = await withLauncher(t, processes);
  const { id } = await boot(runtime, sleeper);
  const main = await mainOf(processes, id);
  t.equal(statOf(main)?.parent, launcher);
  t.same(await launchersOf(process.pid), [launcher], 'there is one');
  await Promise.all([runtime.close(), runtime.close()]);
  t.same(await launchersOf(process.pid), []);
  t.ok(statOf(main), 'what it started runs on');
});

t.test('what the launcher cannot start is refused with the same words as in place', async (t) => {
  const processes = await useProcesses(t, 'trace');
  const runtime = await processes.open();
  const cases = [
    { command: ['no-such-program'] },
    { command: ['ls'], cwd: '/no/such/directory' },
    { command: ['/etc/passwd'] },
    { command: ['ls'], env: { BAD: 'nul\0byte' } },
    { command: ['ls', 'x'.repeat(4_000_000)] },
  ];
  const words = () =>
    Promise.all(
      cases.map((app) =>
        boot(runtime, app).then(
          () => undefined,
          ({ message, cause }: Error) => ({ message, cause }),
        ),
      ),
    );
  const inPlace = await words();
  const launcher = await readyLauncher(processes);
  const byLauncher = await words();
  t.same(
    byLauncher.map((error) => error?.message),
    inPlace.map((error) => error?.message),
  );
  const missing = { message: /no such program on PATH/, cause: { code: 'ENOENT' } };
  t.match([inPlace[0], byLauncher[0]], [missing, missing]);
  t.same(await launchersOf(process.pid), [launcher]);
  t.same(await processes.traces(), []);
});

t.test('an app of the launcher has its output, no descriptor beside it, and nothing of its environment', async (t) => {
  const processes = await useProcesses(t, 'trace');
  const { runtime, launcher } = await withLauncher(t, processes);
  const { id } = await boot(runtime, shell('ls /proc/$$/fd | tr "\\n" " "; env >&2; exit 9'));
  await eventually(async () => (await runtime.inspect(id)).state === 'exited');
  t.same(await runtime.inspect(id), { state: 'exited', cause: 'exit code 9' });
  const output = await runtime.output(id, 10_000);
  t.match(output, /^0 1 2 /);
  t.notMatch(output, /FASTCONTAINER_LAUNCHER/);
  t.match(readFileSync(`/proc/${launcher}/environ`, 'latin1'), /FASTCONTAINER_LAUNCHER=/);
});

t.test('many boots at once are started by it, each once, and each exit is told once', async (t) => {
  const processes = await useProcesses(t, 'trace');
  const { runtime, launcher, exits } = await withLauncher(t, processes);
  const booted = await Promise.all(Array.from({ length: 8 }, () => boot(runtime, sleeper)));
  for (const { id } of booted) {
    const main = await mainOf(processes, id);
    t.same(await marked(id), [main]);
    t.equal(statOf(main)?.parent, launcher);
    process.kill(main, 'SIGKILL');
  }
  await eventually(() => exits.length >= booted.length);
  const told = exits.map(({ id, cause }) => `${id} ${cause}`).toSorted();
  t.same(told, booted.map(({ id }) => `${id} signal SIGKILL`).toSorted());
  const children = readFileSync(`/proc/${launcher}/task/${launcher}/children`, 'utf8').split(' ').filter(Boolean);
  t.same(children, [], 'no zombie is left');
});

t.test('a launcher killed before a boot is no obstacle to it, and is said to be gone', async (t) => {
  const processes = await useProcesses(t, 'trace');
  const { runtime, launcher } = await withLauncher(t, processes);
  process.kill(launcher, 'SIGKILL');
  const booted = await Promise.all([boot(runtime, sleeper), boot(runtime, sleeper)]);
  await eventually(() => processes.log.some(({ msg }) => /launcher ended/.test(String(msg))));
  booted.push(await boot(runtime, sleeper));
  for (const { id } of booted) t.same(await marked(id), [await mainOf(processes, id)], 'started once');
  t.match(
    processes.log.filter(({ level }) => Number(level) >= 40),
    [{ pid: launcher, cause: 'signal SIGKILL' }],
  );
});

t.test('a launcher killed at any moment of a boot starts nothing twice, and nothing unseen', async (t) => {
  for (const turns of [0, 1, 2, 3, 5, 8, 13, 21, 34, 55]) {
    const processes = await useProcesses(t, 'trace');
    const { runtime, launcher, exits } = await withLauncher(t, processes);
    const booting = Promise.all(Array.from({ length: 4 }, () => boot(runtime, sleeper)));
    for (let turn = 0; turn < 4 * turns; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    process.kill(launcher, 'SIGKILL');
    for (const { id } of await booting) {
      const main = await mainOf(processes, id);
      t.same(await marked(id), [main], `after ${4 * turns} turns`);
      process.kill(main, 'SIGKILL');
    }
    await eventually(() => exits.length >= 4);
    t.equal(new Set(exits.map(({ id }) => id)).size, 4);
    for (const { id } of await runtime.list()) await runtime.stop(id, 0);
    t.same(await processes.traces(), []);
    await runtime.close();
  }
});

t.test('what a launcher started that was killed runs on, is followed, and its end is reported once', async (t) => {
  const processes = await useProcesses(t, 'trace');
  const { runtime, launcher, exits } = await withLauncher(t, processes);
  const ticks = 'i=0; while :; do i=$((i+1)); echo tick $i; sleep 0.05; done';
  const { id, app } = await boot(runtime, shell(ticks));
  process.kill(launcher, 'SIGKILL');
  const seen = () => processes.log.flatMap(({ output }) => (typeof output === 'string' ? [output] : []));
  await eventually(() => seen().length > 20);
  t.same(
    seen(),
    Array.from(seen(), (_, index) => `tick ${index + 1}`),
  );
  t.match(await runtime.inspect(id), { state: 'running' });
  process.kill(await mainOf(processes, id), 'SIGKILL');
  await eventually(() => exits.length > 0);
  t.same(exits, [{ id, app: app.name, cause: 'it ended' }]);
  t.same(await runtime.inspect(id), { state: 'exited', cause: 'it ended' });
});

t.test('what ended together with its launcher is reported too', async (t) => {
  const processes = await useProcesses(t, 'trace');
  const { runtime, launcher, exits } = await withLauncher(t, processes);
  const { id } = await boot(runtime, sleeper);
  process.kill(launcher, 'SIGSTOP');
  process.kill(await mainOf(processes, id), 'SIGKILL');
  process.kill(launcher, 'SIGKILL');
  await eventually(() => exits.length > 0);
  t.match(exits, [{ id, cause: 'it ended' }]);
});

t.test('a launcher that dies with an order in hand leaves it to the dispatcher', async (t) => {
  const processes = await useProcesses(t, 'trace');
  const { start, told } = await badLauncher(t, processes);
  const { id, pid } = await start('dies first');
  t.same(await marked(id), [pid]);
  t.equal(statOf(pid)?.parent, process.pid);
  t.same(told, [], 'a child of the dispatcher itself is no orphan');
});

t.test('what it started before it could tell is found, taken over, and not started again', async (t) => {
  const processes = await useProcesses(t, 'trace');
  const { start, told, pid: launcher } = await badLauncher(t, processes);
  const { id, pid } = await start('dies before it tells');
  t.notOk(statOf(launcher));
  t.same(await marked(id), [pid]);
  t.not(statOf(pid)?.parent, process.pid);
  t.same(told, [`${id} orphaned ${pid}`]);
});

t.test('a launcher that stands still is killed, and its orders are carried out in place', async (t) => {
  const processes = await useProcesses(t, 'trace');
  const { start, pid: launcher } = await badLauncher(t, processes);
  const both = await Promise.all([start('stands still'), start('stands still')]);
  t.notOk(statOf(launcher));
  for (const { id, pid } of both) t.same(await marked(id), [pid]);
});

t.test('what a launcher declines is started in place, and it is asked again', async (t) => {
  const processes = await useProcesses(t, 'trace');
  const { start, pid: launcher } = await badLauncher(t, processes);
  for (let count = 0; count < 2; count += 1) t.equal(statOf((await start('declines')).pid)?.parent, process.pid);
  t.ok(statOf(launcher));
});

t.test('signals that end a service do not end its launcher before it', async (t) => {
  const processes = await useProcesses(t, 'trace');
  const { runtime, launcher } = await withLauncher(t, processes);
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.kill(launcher, signal);
  const { id } = await boot(runtime, sleeper);
  t.equal(statOf(await mainOf(processes, id))?.parent, launcher);
});

t.test('a dispatcher that is killed leaves no launcher behind, but its app', async (t) => {
  const processes = await useProcesses(t, 'trace');
  const { logger: _logger, clock: _clock, ...options } = processes.options;
  const app = testApp(sleeper);
  const spec = { id: newId('survivor'), app, revision: revisionOf(app) };
  const script = resolve('test/fixtures/dispatcher.mjs');
  const child = spawn(process.execPath, [script, JSON.stringify({ options, spec, stays: true })], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  const exited = once(child, 'exit');
  await once(createInterface({ input: child.stdout }), 'line');
  let launcher = 0;
  await eventually(async () => ([launcher = 0] = await launchersOf(child.pid ?? 0)).length > 0);
  child.kill('SIGKILL');
  await exited;
  await eventually(() => !statOf(launcher));
  t.equal((await marked(spec.id)).length, 1);
});

t.test('what was forked and is no app yet is killed, and nothing else', async (t) => {
  const start = (env: Record<string, string>) => spawn('sleep', ['100'], { env, stdio: 'ignore' });
  const [unborn, other] = [start({ TOKEN: '17' }), start({ TOKEN: '170' })];
  t.teardown(() => other.kill('SIGKILL'));
  const exited = once(unborn, 'exit');
  await killUnborn('TOKEN=17', systemClock);
  t.same(await exited, [null, 'SIGKILL']);
  t.ok(statOf(other.pid ?? 0));
});
