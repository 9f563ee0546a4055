import { once } from 'node:events';
import { connect, createServer, type Server } from 'node:net';
import { resolve } from 'node:path';
import t, { type Test } from 'tap';
import type { Inspection, Runtime } from '../../../src/runtime/runtime.js';
import { eventually } from '../../fixtures/eventually.js';
import { boot, shell, useProcesses, webApp } from './open-processes.js';

const [node, script] = webApp.map((word) => `'${word}'`);

const gapApp = [process.execPath, resolve('test/fixtures/apps/gap.mjs')];

function connects(port: number, host: string): Promise<boolean> {
  return new Promise((done) => {
    const socket = connect(port, host, () => done(true)).on('error', () => done(false));
    socket.on('close', () => socket.destroy()).end();
  });
}

async function squat(t: Test, port: number): Promise<Server> {
  const server = createServer().listen(port, '127.0.0.1');
  t.teardown(() => server.close());
  await once(server, 'listening');
  return server;
}

function listens(runtime: Runtime, id: string): Promise<boolean> {
  return eventually(async () => {
    const inspection: Inspection = await runtime.inspect(id);
    return inspection.state === 'running' && inspection.listening === true;
  });
}

t.test('an app that listens is listening; before that it is not', async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  const { id } = await boot(runtime, { command: webApp, env: { BOOT_DELAY_MS: '300' } });
  t.match(await runtime.inspect(id), { state: 'running', listening: false });
  t.ok(await listens(runtime, id));
});

t.test('a child of the app may listen for it, wherever it went', async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  const behind = {
    'a shell': `${node} ${script}; true`,
    'a new session': `setsid ${node} ${script} & wait`,
    'an orphan': `(setsid ${node} ${script} &); sleep 100`,
  };
  for (const [what, words] of Object.entries(behind)) {
    const { id } = await boot(runtime, shell(words));
    t.ok(await listens(runtime, id), what);
  }
});

t.test('a foreign program on the port is not the app', async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  const { id, address } = await boot(runtime, { command: ['sleep', '100'] });
  const server = await squat(t, address.port);
  for (let count = 0; count < 5; count += 1) {
    t.match(await runtime.inspect(id), { state: 'running', listening: false });
  }
  server.close();
  await once(server, 'close');
  t.match(await runtime.inspect(id), { state: 'running', listening: false });
});

t.test('an app that listens at another address is not what listens at its own', async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  for (const address of ['::1', '127.0.0.2']) {
    const app = await boot(runtime, { command: gapApp, env: { LISTEN_ON: address } });
    const { port } = app.address;
    await eventually(() => connects(port, address));
    t.match(await runtime.inspect(app.id), { state: 'running', listening: false }, address);
    t.equal(await runtime.listener?.(app.id), undefined);
    await squat(t, port);
    t.match(
      await runtime.inspect(app.id),
      { state: 'running', listening: false },
      `${address}, beside a foreign program`,
    );
    t.equal(await runtime.listener?.(app.id), undefined);
  }
});

t.test('an app that listens at every address listens at its own', async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  for (const address of ['0.0.0.0', '::']) {
    const { id } = await boot(runtime, { command: gapApp, env: { LISTEN_ON: address } });
    t.ok(await listens(runtime, id), address);
  }
});

t.test('the socket on which an app accepts has one name while it is open, also for another dispatcher', async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  const { id, address } = await boot(runtime, { command: gapApp });
  await listens(runtime, id);
  const name = await runtime.listener?.(id);
  t.type(name, 'string');
  t.equal(await runtime.listener?.(id), name);
  t.equal(await (await processes.open()).listener?.(id), name);
  const pid = Number(await (await fetch(`http://127.0.0.1:${address.port}/gap`)).text());
  await eventually(async () => (await runtime.listener?.(id)) === undefined);
  process.kill(pid, 'SIGUSR2');
  const next = await eventually(() => runtime.listener?.(id) ?? Promise.resolve(undefined));
  t.not(next, name, 'it was closed in between');
  await runtime.stop(id, 0);
  t.equal(await runtime.listener?.(id), undefined);
});

t.test('another app on the port is not the app', async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  const victim = await boot(runtime, { command: ['sleep', '100'] });
  await boot(runtime, shell(`PORT=${victim.address.port} exec ${node} ${script}`));
  await eventually(() => fetch(`http://127.0.0.1:${victim.address.port}/`, { headers: { connection: 'close' } }));
  t.match(await runtime.inspect(victim.id), { state: 'running', listening: false });
});

t.test('a port that a foreign program holds is not given to an app', async (t) => {
  const processes = await useProcesses(t);
  const runtime = await processes.open();
  await squat(t, processes.options.ports.from);
  const { address } = await boot(runtime, { command: ['sleep', '100'] });
  t.equal(address.port, processes.options.ports.from + 1);
});
