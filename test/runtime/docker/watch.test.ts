import { rmSync } from 'node:fs';
import { type Server, type Socket, connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Exit } from '../../../src/runtime/runtime.js';
import { type TestDocker, useDocker, useOwnDocker } from '../../fixtures/docker.js';
import { containerName } from '../../../src/runtime/docker/labels.js';
import { testImage } from '../../fixtures/docker-image.js';
import { eventually } from '../../fixtures/eventually.js';
import { bootApp, dockerApp, openRuntime } from './open-runtime.js';

t.test('watch', async (t) => {
  const engine = await useDocker(t);
  if (!engine) return;
  const { docker } = engine;
  const image = await testImage(docker, 'busybox');
  const app = dockerApp({ image });
  const kill = (id: string) => docker.getContainer(containerName(id)).kill();

  t.test('everybody who watches hears of each exit once, until they unsubscribe', async (t) => {
    const { runtime } = openRuntime(t, engine);
    const seen: Exit[][] = [[], []];
    const unwatch = seen.map((exits) => runtime.watch((exit) => void exits.push(exit)));
    const first = await bootApp(runtime, app);
    await kill(first.id);
    await eventually(() => seen.every(({ length }) => length === 1));
    t.match(seen[0], [{ id: first.id, app: 'shop', cause: 'signal SIGKILL' }]);
    unwatch[0]?.();
    unwatch[0]?.();
    const second = await bootApp(runtime, app);
    await kill(second.id);
    await eventually(() => seen[1]?.length === 2);
    t.equal(seen[0]?.length, 1);
    t.equal(seen[1]?.[1]?.id, second.id);
  });

  t.test('a handle that is opened later hears of the exits of containers it did not start', async (t) => {
    const { runtime, reopen } = openRuntime(t, engine);
    const { id } = await bootApp(runtime, app);
    const dead = await bootApp(runtime, app);
    await kill(dead.id);
    await runtime.close();
    const seen: string[] = [];
    reopen().watch((exit) => void seen.push(exit.id));
    await kill(id);
    await eventually(() => seen.length > 0);
    t.same(seen, [id]);
  });

  t.test('containers of another cmdb are not heard of', async (t) => {
    const [ours, theirs] = [openRuntime(t, engine), openRuntime(t, engine)];
    const seen: string[] = [];
    ours.runtime.watch((exit) => void seen.push(exit.id));
    const foreign = await bootApp(theirs.runtime, app);
    await kill(foreign.id);
    const own = await bootApp(ours.runtime, app);
    await kill(own.id);
    await eventually(() => seen.length > 0);
    t.same(seen, [own.id]);
  });

  t.test('exits during an absence of the engine are reported once it is back, and each is logged once', async (t) => {
    const relay = await openRelay(t, engine);
    const { runtime, log } = openRuntime(t, engine, { socketPath: relay.path });
    const seen: Exit[] = [];
    runtime.watch((exit) => void seen.push(exit));
    const [killed, removed, survivor] = [
      await bootApp(runtime, app),
      await bootApp(runtime, app),
      await bootApp(runtime, app),
    ];
    await relay.cut();
    await eventually(() => log.some((line) => line.startsWith("lost the engine's container events")));
    await kill(killed.id);
    await docker.getContainer(containerName(removed.id)).remove({ force: true });
    await relay.open();
    await eventually(() => seen.length >= 2);
    t.same(seen.map(({ id }) => id).toSorted(), [killed.id, removed.id].toSorted());
    t.equal(seen.find(({ id }) => id === killed.id)?.cause, 'signal SIGKILL');
    await eventually(() => log.some((line) => line.startsWith('Docker Engine is back')));
    await kill(survivor.id);
    await eventually(() => seen.some(({ id }) => id === survivor.id));
    t.equal(seen.length, 3, 'nothing is reported twice');
    t.equal(log.filter((line) => /lost the engine|is back/.test(line)).length, 2);
  });

  t.test('a watcher that throws does not keep the others from hearing', async (t) => {
    const { runtime, log } = openRuntime(t, engine);
    const seen: string[] = [];
    runtime.watch(() => {
      throw new Error('bad watcher');
    });
    runtime.watch((exit) => void seen.push(exit.id));
    const { id } = await bootApp(runtime, app);
    await kill(id);
    await eventually(() => seen.length === 1);
    t.ok(log.includes('an exit could not be handled'));
  });
});

t.test('an engine that restarts is followed again, and what died with it is reported', async (t) => {
  const engine = await useOwnDocker(t);
  if (!engine) return;
  const image = await testImage(engine.docker, 'busybox');
  const { runtime, log } = openRuntime(t, engine);
  const seen: string[] = [];
  runtime.watch((exit) => void seen.push(exit.id));
  const first = await bootApp(runtime, dockerApp({ image }));
  engine.restart();
  await eventually(() => log.some((line) => line.startsWith('Docker Engine is back')));
  await eventually(() => seen.length > 0);
  const second = await bootApp(runtime, dockerApp({ image }));
  await engine.docker.getContainer(containerName(second.id)).kill();
  await eventually(() => seen.length > 1);
  t.same(seen, [first.id, second.id]);
  await runtime.stop(first.id, 0);
  t.match(await runtime.list(), [{ id: second.id, running: false }]);
});

/** A socket in front of the engine's that a test can take away and bring back. */
async function openRelay(t: Test, engine: TestDocker) {
  const path = join(tmpdir(), `fastcontainer-relay-${process.pid}.sock`);
  const sockets = new Set<Socket>();
  let server: Server | undefined;
  const open = () =>
    new Promise<void>((resolve) => {
      server = createServer((client) => {
        const upstream = connect(engine.socketPath);
        for (const [from, to] of [[client, upstream] as const, [upstream, client] as const]) {
          sockets.add(from);
          from.pipe(to);
          from.on('error', () => to.destroy()).on('close', () => to.destroy());
        }
      }).listen(path, resolve);
    });
  const cut = async () => {
    const closed = new Promise((resolve) => server?.close(resolve));
    for (const socket of sockets) socket.destroy();
    await closed;
    rmSync(path, { force: true });
  };
  t.teardown(cut);
  await open();
  return { path, open, cut };
}
