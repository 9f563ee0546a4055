import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { connect, createServer, Socket } from 'node:net';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { setImmediate as turn } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { type App, revisionOf } from '../../../src/model/app.js';
import { isRunning, statOf } from '../../../src/machine/proc-fs.js';
import { frame, FrameReader } from '../../../src/runtime/kept/keeper/frames.js';
import { Keeper } from '../../../src/runtime/kept/keeper/keeper.js';
import { Keepers } from '../../../src/runtime/kept/keeper/keepers.js';
import type { Order, Report } from '../../../src/runtime/kept/keeper/messages.js';
import { Pipes } from '../../../src/runtime/kept/keeper/pipes.js';
import { killUnborn } from '../../../src/runtime/kept/unborn.js';
import type { Exit, Runtime } from '../../../src/runtime/runtime.js';
import { systemClock } from '../../../src/machine/system-clock.js';
import { testApp } from '../../fixtures/app.js';
import { VirtualClock } from '../../fixtures/clock.js';
import { eventually } from '../../fixtures/eventually.js';
import { keeperOn, keepersOn, marked } from './keeper-fixture.js';
import { boot, newId, type Processes, shell, useProcesses } from '../process/open-processes.js';
import { readRecord } from '../process/record-file.js';

const sleeper = { command: ['sleep', '100'] };

async function mainOf({ stateDir }: Processes, id: string): Promise<number> {
  return (await readRecord(stateDir, id)).process?.pid ?? 0;
}

/** What becomes the app may fork for a moment. */
async function becomesOnly(id: string, main: number): Promise<void> {
  await eventually(async () => (await marked(id)).join(' ') === `${main}`);
}

async function openWatched(processes: Processes): Promise<{ runtime: Runtime; exits: Exit[] }> {
  const runtime = await processes.open();
  const exits: Exit[] = [];
  runtime.watch((exit) => void exits.push(exit));
  return { runtime, exits };
}

/** A dispatcher process that has booted these apps and was then killed. */
async function killedDispatcher(t: Test, processes: Processes, ...apps: App[]): Promise<string[]> {
  const { logger: _logger, clock: _clock, ...options } = processes.options;
  const specs = apps.map((app) => ({ id: newId('survivor'), app, revision: revisionOf(app) }));
  const script = resolve('test/fixtures/dispatcher.mjs');
  const [spec, ...others] = specs;
  const child = spawn(process.execPath, [script, JSON.stringify({ options, spec, others, stays: true })], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  const exited = once(child, 'exit');
  await once(createInterface({ input: child.stdout }), 'line');
  child.kill('SIGKILL');
  await exited;
  return specs.map(({ id }) => id);
}

t.test('one keeper starts all apps, outlives the runtime with them, and ends after the last', async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  const booted = await Promise.all([boot(runtime, sleeper), boot(runtime, sleeper)]);
  const keeper = await keeperOn(processes.stateDir);
  const mains = await Promise.all(booted.map(({ id }) => mainOf(processes, id)));
  t.same(
    mains.map((main) => statOf(main)?.parent),
    [keeper, keeper],
  );
  await Promise.all([runtime.close(), runtime.close()]);
  t.ok(statOf(keeper));
  process.kill(mains[0] as number, 'SIGKILL');
  await eventually(() => !statOf(mains[0] as number));
  t.ok(statOf(keeper), 'one of two apps runs');
  process.kill(mains[1] as number, 'SIGKILL');
  await eventually(() => !statOf(keeper));
  t.same(readdirSync(join(processes.stateDir, 'keepers')), [], 'it leaves nothing of its own behind');
});

t.test('a keeper without apps ends with its runtime, and is waited for', async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open({ prepare: true });
  await keeperOn(processes.stateDir);
  await runtime.close();
  t.same(await keepersOn(processes.stateDir), []);
  const other = await processes.open({ prepare: true });
  const { id } = await boot(other, sleeper);
  await other.stop(id, 0);
  await other.close();
  t.same(await keepersOn(processes.stateDir), []);
});

t.test('what cannot be run is refused with the words of the system, and the keeper goes on', async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  const { id } = await boot(runtime, sleeper);
  const keeper = await keeperOn(processes.stateDir);
  await t.rejects(boot(runtime, { command: ['no-such-program'] }), { cause: { code: 'ENOENT' } });
  await t.rejects(boot(runtime, { command: ['ls', 'x'.repeat(4_000_000)] }), { cause: { code: 'E2BIG' } });
  t.equal(await keeperOn(processes.stateDir), keeper);
  await runtime.stop(id, 0);
  t.same(await processes.traces(), []);
});

t.test('many boots at once are carried out each once, and each exit is told once with its cause', async (t) => {
  const processes = await useProcesses(t);
  const { runtime, exits } = await openWatched(processes);
  const booted = await Promise.all(Array.from({ length: 8 }, () => boot(runtime, sleeper)));
  const keeper = await keeperOn(processes.stateDir);
  for (const { id } of booted) {
    const main = await mainOf(processes, id);
    await becomesOnly(id, main);
    process.kill(main, 'SIGKILL');
  }
  await eventually(() => exits.length >= booted.length);
  const told = exits.map(({ id, cause }) => `${id} ${cause}`).toSorted();
  t.same(told, booted.map(({ id }) => `${id} signal SIGKILL`).toSorted());
  const children = readFileSync(`/proc/${keeper}/task/${keeper}/children`, 'utf8').split(' ').filter(Boolean);
  t.same(children, [], 'no zombie is left');
});

t.test(
  'the apps of a keeper that is killed are ended and told of once, and another keeper starts the next',
  async (t) => {
    const processes = await useProcesses(t);
    const { runtime, exits } = await openWatched(processes);
    const booted = await Promise.all([boot(runtime, sleeper), boot(runtime, shell('trap "" PIPE TERM; sleep 100'))]);
    const keeper = await keeperOn(processes.stateDir);
    process.kill(keeper, 'SIGKILL');
    await eventually(() => exits.length >= 2);
    t.same(
      exits.map(({ id, cause }) => `${id} ${cause}`).toSorted(),
      booted.map(({ id }) => `${id} its keeper ended`).toSorted(),
    );
    for (const { id } of booted) t.same(await marked(id), []);
    t.match(
      processes.log.filter(({ level }) => Number(level) >= 40),
      [{ pid: keeper, apps: 2, msg: /keeper of apps has ended/ }],
    );
    const { id } = await boot(runtime, sleeper);
    await becomesOnly(id, await mainOf(processes, id));
    t.not(await keeperOn(processes.stateDir), keeper);
  },
);

t.test('a keeper killed at any moment of a boot starts nothing twice, and nothing unseen', async (t) => {
  for (const turns of [0, 4, 12, 32, 84, 220]) {
    const processes = await useProcesses(t);
    const { runtime, exits } = await openWatched(processes);
    await boot(runtime, sleeper);
    const keeper = await keeperOn(processes.stateDir);
    const booting = Promise.allSettled(Array.from({ length: 4 }, () => boot(runtime, sleeper)));
    for (let count = 0; count < turns; count += 1) await turn();
    process.kill(keeper, 'SIGKILL');
    for (const outcome of await booting) {
      if (outcome.status === 'rejected') {
        t.match(outcome.reason, /was stopped while it booted|keeper/, `after ${turns} turns`);
        continue;
      }
      const { id } = outcome.value;
      const isTold = () => exits.some((exit) => exit.id === id);
      const main = await mainOf(processes, id);
      await eventually(async () => {
        const pids = await marked(id);
        return isTold() ? pids.length === 0 : pids.length === 1 && statOf(main)?.parent !== keeper;
      });
      const { groups = [] } = await readRecord(processes.stateDir, id);
      const most = groups.map((group) => join(group, 'pids.max')).filter((file) => existsSync(file));
      if (!isTold()) for (const file of most) t.not(readFileSync(file, 'utf8'), '0\n', 'it may start others');
    }
    t.equal(new Set(exits.map(({ id }) => id)).size, exits.length, 'nothing is told twice');
    for (const { id } of await runtime.list()) await runtime.stop(id, 0);
    t.same(await processes.traces(), []);
    await runtime.close();
  }
});

t.test('what ends while no dispatcher is there is told to the next one, with its cause', async (t) => {
  const processes = await useProcesses(t);
  const gate = join(processes.stateDir, 'gate');
  const brief = shell(`while [ ! -e ${gate} ]; do sleep 0.05; done; echo last words; exit 7`);
  const [first = '', other = ''] = await killedDispatcher(t, processes, testApp(brief), testApp(sleeper));
  const main = await mainOf(processes, first);
  writeFileSync(gate, '');
  await eventually(() => !statOf(main));
  const { runtime, exits } = await openWatched(processes);
  await eventually(() => exits.length > 0);
  t.match(exits, [{ id: first, app: 'shop', cause: 'exit code 7' }]);
  t.match(await runtime.inspect(first), { state: 'exited', cause: 'exit code 7' });
  t.equal(await runtime.output(first, 100), 'last words\n');
  t.match(await runtime.inspect(other), { state: 'running' });
});

t.test('so is what ended last, after which its keeper has ended too', async (t) => {
  const processes = await useProcesses(t);
  const [id = ''] = await killedDispatcher(t, processes, testApp(sleeper));
  const keeper = await keeperOn(processes.stateDir);
  process.kill(await mainOf(processes, id), 'SIGTERM');
  await eventually(() => !statOf(keeper));
  const { runtime, exits } = await openWatched(processes);
  await eventually(() => exits.length > 0);
  t.match(exits, [{ id, cause: 'signal SIGTERM' }]);
  t.match(await runtime.inspect(id), { state: 'exited', cause: 'signal SIGTERM' });
  await runtime.stop(id, 0);
  t.same(await processes.traces(), []);
});

t.test('a keeper that is killed after its dispatcher leaves apps that the next one ends, and tells of', async (t) => {
  const processes = await useProcesses(t);
  const [id = ''] = await killedDispatcher(t, processes, testApp(sleeper));
  process.kill(await keeperOn(processes.stateDir), 'SIGKILL');
  const { exits } = await openWatched(processes);
  await eventually(() => exits.length > 0);
  t.match(exits, [{ id, cause: 'its keeper ended' }]);
  t.same(await marked(id), []);
});

t.test('signals that end a service, or a terminal, do not end its keeper', async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  await boot(runtime, sleeper);
  const keeper = await keeperOn(processes.stateDir);
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGPIPE'] as const) process.kill(keeper, signal);
  const { id } = await boot(runtime, sleeper);
  t.equal(statOf(await mainOf(processes, id))?.parent, keeper);
});

t.test(
  'a keeper counts as ended only if nothing has its socket: not if its dispatcher closes, nor if it hangs up',
  async (t) => {
    const { stateDir, options } = await useProcesses(t);
    const directory = join(stateDir, 'keepers');
    const lost: string[] = [];
    const ended: string[] = [];
    const useKeepers = async () => {
      const keepers = new Keepers({
        ...{ directory, group: 'test', clock: systemClock, logger: options.logger },
        output: { directory: stateDir, maxBytes: 1_000 },
        events: {
          onExit: (exited) => void ended.push(exited.id),
          onOutput: () => {},
          onLost: (name) => void lost.push(name),
        },
        endStarted: async () => {},
      });
      await keepers.open();
      t.teardown(() => keepers.close());
      return keepers;
    };
    const first = await useKeepers();
    const id = newId('kept');
    const env = { FASTCONTAINER_INSTANCE: id, PATH: '/bin:/usr/bin' };
    const { process: main, keeper } = await first.start(id, 'shop', { program: 'sleep', args: ['100'], env });
    // Keeps the keeper.
    const { process: other } = await first.start(newId('other'), 'shop', { program: 'sleep', args: ['100'], env });
    t.teardown(() => [main, other].forEach((it) => isRunning(it) && process.kill(it.pid, 'SIGKILL')));
    const socket = join(directory, `${keeper}.sock`);
    const closing = await useKeepers();
    const inheriting = closing.inherit();
    const asked = closing.with(keeper, (found) => typeof found === 'string' && found);
    await Promise.all([inheriting, closing.close()]);
    t.not(await asked, 'gone');
    t.equal(await closing.with(keeper, (found) => found), 'silent', 'nor once it is closed');
    t.ok(existsSync(socket), 'its socket stays');

    const heir = await useKeepers();
    renameSync(socket, `${socket}.kept`);
    const busy = createServer((connection) => connection.destroy()).listen(socket);
    await once(busy, 'listening');
    await heir.inherit();
    t.equal(await heir.with(keeper, (found) => found), 'silent');
    t.ok(existsSync(socket));
    t.same(lost, []);

    renameSync(`${socket}.kept`, socket);
    await first.close();
    process.kill(main.pid, 'SIGKILL');
    await eventually(() => ended.length > 0);
    t.same(ended, [id], 'the heir has made its link anew, and hears of the end');
    busy.close();
    await once(busy, 'close');
    t.equal(await heir.with(keeper, (found) => found), 'gone');
  },
);

t.test('a keeper whose dispatcher ended while it started has nothing to do', async (t) => {
  const { stateDir } = await useProcesses(t);
  const owner = new Socket();
  owner.destroy();
  await once(owner, 'close');
  let isDone = false;
  const keeper = new Keeper({
    ...{ pipes: new Pipes(stateDir), output: { directory: stateDir, maxBytes: 1_000 } },
    ...{ fork: (run) => run(), hasParent: () => false, onDone: () => (isDone = true) },
  });
  keeper.serveOwner(owner);
  t.ok(isDone);
});

t.test('a keeper that stands still fails a boot, is replaced, and ends what it starts too late', async (t) => {
  const processes = await useProcesses(t);
  const { stateDir, options } = processes;
  const clock = new VirtualClock();
  const keepers = new Keepers({
    ...{ directory: join(stateDir, 'keepers'), group: 'test', clock, logger: options.logger },
    output: { directory: stateDir, maxBytes: 1_000 },
    events: { onExit: () => {}, onOutput: () => {}, onLost: () => {} },
    endStarted: async () => {},
  });
  await keepers.open();
  const start = (id: string) =>
    keepers.start(id, 'shop', {
      program: 'sleep',
      args: ['100'],
      env: { FASTCONTAINER_INSTANCE: id, PATH: '/bin:/usr/bin' },
    });
  const ids = [newId('first'), newId('late'), newId('next')] as const;
  t.teardown(async () => {
    for (const id of ids) for (const pid of await marked(id)) process.kill(pid, 'SIGKILL');
    await keepers.close();
  });
  await start(ids[0]);
  const still = await keeperOn(stateDir);
  process.kill(still, 'SIGSTOP');
  const late = t.rejects(start(ids[1]), { message: /does not answer/ });
  await clock.advance(15_000);
  await late;
  const { process: next } = await start(ids[2]);
  t.not(statOf(next.pid)?.parent, still);
  process.kill(still, 'SIGCONT');
  const { name } = JSON.parse(
    /\{"dispatcher":.*?\}\}/.exec(readFileSync(`/proc/${still}/cmdline`, 'latin1'))?.[0] ?? '{}',
  ) as {
    name: string;
  };
  // It reads the order, and that the instance is over, in one go.
  await eventually(() =>
    keepers.with(name, (found) => typeof found !== 'string' && found.kept.has(ids[0]) && !found.kept.has(ids[1])),
  );
  t.same(await marked(ids[1]), []);
  t.equal((await marked(ids[0])).length, 1, 'what it had started before runs on');
});

t.test('whoever says what is no order of this version is cut off, and nobody else', async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  const { id } = await boot(runtime, sleeper);
  const { keeper = '' } = await readRecord(processes.stateDir, id);
  const path = join(processes.stateDir, 'keepers', `${keeper}.sock`);
  const huge = Buffer.alloc(8);
  huge.writeUInt32BE(0xffffffff);
  const hello = { kind: 'hello', v: 1, role: 'guest' };
  const bad = [
    huge,
    frame({ kind: 'hello', v: 2, role: 'guest' }),
    frame({ kind: 'release', order: 1, id }),
    Buffer.concat([frame(hello), frame(hello)]),
    Buffer.concat([frame(hello), frame({ kind: 'start', order: 1, id: 'x', app: 'x' })]),
    Buffer.concat([frame(hello), Buffer.from([0, 0, 0, 1, 0x7b])]),
    Buffer.concat([frame(hello), frame([])]),
  ];
  for (const bytes of bad) {
    const socket = connect(path);
    socket.write(bytes);
    socket.resume();
    await once(socket, 'close');
  }
  t.match(await runtime.inspect(id), { state: 'running' });
  t.equal((await marked(id)).length, 1);
});

t.test('a guest cannot start anything, nor become the owner', async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  const { id } = await boot(runtime, sleeper);
  const { keeper = '' } = await readRecord(processes.stateDir, id);
  const socket = connect(join(processes.stateDir, 'keepers', `${keeper}.sock`));
  t.teardown(() => socket.destroy());
  const reader = new FrameReader();
  const told: Report[] = [];
  socket.on('data', (piece) => told.push(...(reader.push(piece) as Report[])));
  const say = (order: Order) => socket.write(frame(order));
  say({ kind: 'hello', v: 1, role: 'owner' });
  const stray = newId('stray');
  say({ kind: 'start', order: 1, id: stray, app: 'shop', command: { program: 'sleep', args: ['100'], env: {} } });
  await eventually(() => told.length === 2);
  t.match(told, [
    { kind: 'hello', kept: [{ id }] },
    { kind: 'failed', order: 1 },
  ]);
});

t.test('a path of the state directory may be longer than that of a socket', async (t) => {
  const processes = await useProcesses(t);
  const stateDir = join(processes.stateDir, 'x'.repeat(120));
  const runtime = await processes.open({ stateDir });
  const { id } = await boot(runtime, sleeper);
  await runtime.close();
  const next = await processes.open({ stateDir });
  t.match(await next.list(), [{ id, running: true }]);
  await next.stop(id, 0);
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
