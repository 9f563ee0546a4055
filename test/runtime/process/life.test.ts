import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import t from 'tap';
import { statOf } from '../../../src/proc-fs.js';
import { eventually } from '../../fixtures/eventually.js';
import { bootScript, processes, scriptApp } from './open-runtime.js';

const idle = 'setInterval(() => {}, 1e6);';
const isRunning = (pid: number) => statOf(pid) !== undefined;

async function pidOf(stateDir: string, id: string): Promise<number> {
  return JSON.parse(await readFile(join(stateDir, 'instances', `${id}.json`), 'utf8')).process.pid;
}

t.test('an app gets a clean environment with its address and its name', async (t) => {
  process.env['SECRET_OF_THE_DISPATCHER'] = 'hunter2';
  const { open } = await processes(t);
  const runtime = await open();
  const code = `console.log(JSON.stringify(process.env)); ${idle}`;
  const { id, address } = await bootScript(runtime, scriptApp(code, { env: { GREETING: 'hi' } }));
  const env = await eventually(async () => JSON.parse((await runtime.output(id, 10_000)) || 'null'));
  t.match(env, {
    HOST: '127.0.0.1',
    PORT: String(address.port),
    GREETING: 'hi',
    FASTCONTAINER_APP: 'shop',
    FASTCONTAINER_INSTANCE: id,
    FASTCONTAINER_CMDB: 'test',
  });
  // The test runner slips its own into every process that is spawned.
  const ofRunner = /^(_TAPJS_|NODE_OPTIONS$)/;
  const known = ['HOST', 'PORT', 'GREETING', 'PATH', 'HOME', 'LANG', 'TZ'];
  const others = Object.keys(env).filter(
    (name) => !known.includes(name) && !name.startsWith('FASTCONTAINER_') && !ofRunner.test(name),
  );
  t.same(others, []);
});

t.test('what left the process group dies with the instance, whether it is stopped or dies by itself', async (t) => {
  const { open, stateDir } = await processes(t);
  const runtime = await open();
  const child = `require('child_process').spawn(process.execPath, ['-e', ${JSON.stringify(idle)}], { detached: true, stdio: 'ignore' })`;
  const app = scriptApp(`const child = ${child}; console.log(child.pid); ${idle}`);
  const strayOf = (id: string) => eventually(async () => Number(await runtime.output(id, 100)));
  const stopped = await bootScript(runtime, app);
  const first = await strayOf(stopped.id);
  t.ok(isRunning(first));
  await runtime.stop(stopped.id, 1_000);
  t.notOk(isRunning(first));
  const died = await bootScript(runtime, app);
  const second = await strayOf(died.id);
  process.kill(await pidOf(stateDir, died.id), 'SIGKILL');
  await eventually(() => !isRunning(second));
});

t.test('a pid is trusted only together with its start time and the boot of the machine', async (t) => {
  const { open, stateDir } = await processes(t);
  const runtime = await open();
  const { id } = await bootScript(runtime, scriptApp(idle));
  const pid = await pidOf(stateDir, id);
  const foreign = spawn(process.execPath, ['-e', idle], { stdio: 'ignore' });
  t.teardown(() => foreign.kill('SIGKILL'));
  await once(foreign, 'spawn');
  const file = join(stateDir, 'instances', `${id}.json`);
  const record = JSON.parse(await readFile(file, 'utf8'));
  for (const wrong of [{ startTime: '1' }, { bootId: 'another' }]) {
    const identity = { ...record.process, pid: foreign.pid, ...wrong };
    const stray = { ...record, id: 'shop-stray', process: identity };
    await writeFile(join(stateDir, 'instances', 'shop-stray.json'), JSON.stringify(stray));
    t.match(await runtime.inspect('shop-stray'), { state: 'exited' });
    await runtime.stop('shop-stray', 1_000);
    t.ok(isRunning(foreign.pid ?? 0), 'a foreign process is never signalled');
  }
  t.ok(isRunning(pid));
});

t.test('records that cannot be read are skipped', async (t) => {
  const { open, stateDir } = await processes(t);
  const runtime = await open();
  const { id } = await bootScript(runtime, scriptApp(idle));
  await writeFile(join(stateDir, 'instances', 'garbage.json'), '{');
  await writeFile(join(stateDir, 'instances', 'shop-other.json'), '{"v":2}');
  t.same(
    (await runtime.list()).map((found) => found.id),
    [id],
  );
  t.match(await runtime.inspect('../../etc/passwd'), { state: 'gone' });
  await runtime.stop('../../etc/passwd', 0);
});

t.test('an app outlives a dispatcher that is killed, and is found and stopped by the next', async (t) => {
  const { open, stateDir, ports } = await processes(t);
  const dispatcher = `
    import { openProcessRuntime } from ${JSON.stringify(resolve('dist/src/runtime/process.js'))};
    import { systemClock } from ${JSON.stringify(resolve('dist/src/system-clock.js'))};
    import { pino } from 'pino';
    const runtime = await openProcessRuntime({ stateDir: ${JSON.stringify(stateDir)}, cmdbName: 'test', ports: ${JSON.stringify(ports)}, logger: pino({ level: 'silent' }), clock: systemClock });
    const app = ${JSON.stringify(scriptApp(`console.log('up'); ${idle}`))};
    await runtime.boot({ id: 'shop-1', app, revision: 'r' }, { signal: new AbortController().signal, onPhase() {} });
    console.log('booted');
    setInterval(() => {}, 1e6);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', dispatcher], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  child.kill('SIGKILL');
  await once(child, 'exit');
  const pid = await pidOf(stateDir, 'shop-1');
  t.ok(isRunning(pid));
  const runtime = await open();
  t.match(await runtime.list(), [{ id: 'shop-1', app: 'shop', revision: 'r', running: true }]);
  const exits: unknown[] = [];
  runtime.watch((exit) => void exits.push(exit));
  process.kill(pid, 'SIGKILL');
  await eventually(() => exits.length === 1);
  await runtime.stop('shop-1', 1_000);
  t.same(await runtime.list(), []);
});

t.test('a start that cannot be is explained, and leaves nothing', async (t) => {
  const { open, stateDir } = await processes(t);
  const runtime = await open();
  const cases: [Parameters<typeof scriptApp>[1], RegExp][] = [
    [{ command: ['no-such-program'] }, /cannot run 'no-such-program' of app shop: there is no such program on PATH/],
    [{ command: ['/etc/passwd'] }, /cannot run '\/etc\/passwd' .*not executable/],
    [{ cwd: '/nowhere' }, /no directory \/nowhere/],
    [{ user: 'no-such-user' }, /there is no user 'no-such-user' on this machine|needs the dispatcher to run as root/],
  ];
  for (const [overrides, message] of cases)
    await t.rejects(bootScript(runtime, scriptApp(idle, overrides)), { message });
  t.same(await readdir(join(stateDir, 'instances')), []);
  t.same(await readdir(join(stateDir, 'output')), []);
});

t.test(
  'an app runs as the user it names',
  { skip: process.getuid?.() === 0 ? false : 'this takes root' },
  async (t) => {
    const { open } = await processes(t);
    const runtime = await open();
    const code = `console.log(process.getuid(), process.getgroups().length, process.env.HOME); ${idle}`;
    const { id } = await bootScript(runtime, scriptApp(code, { user: 'nobody', command: ['node', '-e', code] }));
    const said = await eventually(() => runtime.output(id, 100));
    t.match(said, /^65534 1 \/nonexistent/);
  },
);
