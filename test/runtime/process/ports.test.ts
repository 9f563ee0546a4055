import { createServer } from 'node:net';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { Ports } from '../../../src/runtime/process/ports.js';
import { portRange } from '../../fixtures/port-range.js';
import { eventually } from '../../fixtures/eventually.js';
import { bootScript, processes, scriptApp } from './open-runtime.js';

/** A clock whose wall time is set by hand; files keep real times. */
function handClock() {
  let ahead = 0;
  return {
    now: () => Date.now() + ahead,
    monotonic: () => performance.now(),
    after: () => ({ cancel() {} }),
    forward: (ms: number) => void (ahead += ms),
  };
}

async function directory(t: Test): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'fastcontainer-ports-'));
  t.teardown(() => rm(path, { recursive: true, force: true }));
  return path;
}

const { from } = portRange(t);

t.test('a freed port rests for a minute and comes last', async (t) => {
  const clock = handClock();
  const options = { directory: await directory(t), from, to: from + 1, bindHost: '127.0.0.1', clock };
  const ports = new Ports(options);
  await ports.open(async () => true);
  t.equal(await ports.lease('a'), from);
  await ports.free(from);
  t.equal(await ports.lease('b'), from + 1);
  await t.rejects(ports.lease('c'), /no free port from \d+ to \d+ .*widen runtimes\.process\.ports/);
  clock.forward(61_000);
  t.equal(await ports.lease('c'), from);
});

t.test('leases survive a restart; those of instances that are gone are freed', async (t) => {
  const clock = handClock();
  const options = { directory: await directory(t), from: from + 2, to: from + 4, bindHost: '127.0.0.1', clock };
  const before = new Ports(options);
  await before.open(async () => true);
  await before.lease('stays');
  await before.lease('goes');
  const after = new Ports(options);
  await after.open(async (id) => id === 'stays');
  t.equal(await after.lease('new'), from + 4);
  clock.forward(61_000);
  t.equal(await after.lease('newer'), from + 3);
});

t.test('two handles never lease the same port', async (t) => {
  const clock = handClock();
  const options = { directory: await directory(t), from: from + 10, to: from + 49, bindHost: '127.0.0.1', clock };
  const handles = [new Ports(options), new Ports(options)];
  for (const handle of handles) await handle.open(async () => true);
  for (let round = 0; round < 3; round += 1) {
    const leased = await Promise.all(
      Array.from({ length: 40 }, (_, index) => (handles[index % 2] as Ports).lease(`i-${round}-${index}`)),
    );
    t.equal(new Set(leased).size, 40);
    await Promise.all(leased.map((port) => (handles[0] as Ports).free(port)));
    clock.forward(61_000);
  }
});

t.test('a port that a foreign program holds is passed over, and its listener is not the app', async (t) => {
  const { open, ports } = await processes(t, 2);
  const foreign = createServer();
  await new Promise<void>((resolve) => foreign.listen(ports.from, '127.0.0.1', resolve));
  t.teardown(() => foreign.close());
  const runtime = await open();
  const { id, address } = await bootScript(runtime, scriptApp('setInterval(() => {}, 1e6)'));
  t.equal(address.port, ports.to);
  t.match(await runtime.inspect(id), { state: 'running', listening: false });
  const thief = createServer();
  await new Promise<void>((resolve) => thief.listen(address.port, '127.0.0.1', resolve));
  t.teardown(() => thief.close());
  t.match(await runtime.inspect(id), { state: 'running', listening: false });
});

t.test('a listener of the app or of its children is the app', async (t) => {
  const { open } = await processes(t);
  const runtime = await open();
  const serve = `require('http').createServer().listen(process.env.PORT, process.env.HOST)`;
  const own = await bootScript(runtime, scriptApp(serve));
  const fork = `require('child_process').spawn(process.execPath, ['-e', ${JSON.stringify(serve)}], { stdio: 'inherit' }); setInterval(() => {}, 1e6)`;
  const forked = await bootScript(runtime, scriptApp(fork));
  for (const { id } of [own, forked]) {
    await eventually(async () => {
      const inspection = await runtime.inspect(id);
      return inspection.state === 'running' && inspection.listening === true;
    });
  }
});
