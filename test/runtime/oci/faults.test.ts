import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { revisionOf } from '../../../src/model/app.js';
import { childrenOf } from '../../../src/machine/proc-fs.js';
import type { ProcessRecord } from '../../../src/runtime/kept/records.js';
import { ociFindings } from '../../../src/runtime/oci/findings.js';
import type { Exit } from '../../../src/runtime/runtime.js';
import { eventually } from '../../fixtures/eventually.js';
import { boot, containerApp, type Containers, newId, nothing, shellApp, useContainers } from './open-containers.js';

t.test('what a container would lack is said before it starts, by the name of the app', async (t) => {
  const containers = await useContainers(t);
  if (!containers) return;
  const { shared } = containers;
  const runtime = await containers.open();
  const image = join(shared, 'image');
  mkdirSync(join(image, 'bin'), { recursive: true });
  const faults = [
    [{ command: ['no-such-program'] }, /app shop: there is no program no-such-program on this host/],
    [{ command: ['/root/secret'] }, /app shop: there is no program \/root\/secret/],
    [{ command: ['/bin/sh'], image: `rootfs:${image}` }, /app shop: there is no program \/bin\/sh in .*image/],
    [{ cwd: '/srv/none' }, /app shop: there is no directory \/srv\/none/],
    [{ image: 'hello:1' }, /app shop: the image hello:1 is not `host`, `rootfs:/],
    [{ image: `rootfs:${shared}/none` }, /app shop: there is no directory .*none; correct 'image'/],
    [{ image: 'rootfs:/etc' }, /app shop: image rootfs:\/etc is not for apps/],
    [{ image: `rootfs:${shared}/../../etc` }, /is not `host`, `rootfs:/],
    [{ mounts: [mount('/etc', '/data')] }, /app shop: mount source \/etc is not for apps/],
    [{ mounts: [mount(`${shared}/none`, '/data')] }, /app shop: it mounts .*none, which does not exist/],
    [{ user: 'no-such-user' }, /no-such-user/],
    [{ limits: { cpuWeight: 100, memoryBytes: 4096 } }, /cannot start 'sleep' of app shop: .*memory/],
  ] as const;
  for (const [changes, message] of faults) {
    await t.rejects(boot(runtime, containerApp(changes as Parameters<typeof containerApp>[0])), { message });
  }
  const spec = { id: '../escape', app: containerApp({}), revision: 'r' };
  await t.rejects(runtime.boot(spec, { signal: new AbortController().signal, onPhase: () => {} }), {
    message: /is not an instance id/,
  });
  t.same(await containers.traces(), nothing);
});

t.test('an image is a lower layer that no instance changes, and each instance has a fresh upper one', async (t) => {
  const containers = await useContainers(t);
  if (!containers) return;
  const image = join(containers.shared, 'image');
  for (const name of ['usr', 'tmp']) mkdirSync(join(image, name), { recursive: true });
  for (const name of ['bin', 'lib', 'lib64']) symlinkSync(`usr/${name}`, join(image, name));
  const script = 'cat /note 2>&1; echo mine >/note && cat /note; exec sleep 1000';
  const mounts = [{ ...mount('/usr', '/usr'), readOnly: true }];
  const app = shellApp(script, { image: `rootfs:${image}`, user: 'root', mounts });
  const runtime = await containers.open({ mounts: { roots: [containers.shared, '/usr'], own: [] } });
  for (const round of [1, 2]) {
    const { id } = await boot(runtime, app);
    const said = await eventually(async () => {
      const output = await runtime.output(id, 1_000);
      return output.includes('mine') && output;
    });
    t.match(said, /No such file[^]*mine/, `round ${round}`);
    await runtime.stop(id, 2_000);
  }
  t.notOk(existsSync(join(image, 'note')));
  t.same(await containers.traces(), nothing);
});

t.test('a runtime that is not installed is named, with those that are', async (t) => {
  const containers = await useContainers(t);
  if (!containers) return;
  const { problems } = await ociFindings({ ...containers.options, program: 'none' }, ['docker://localhost/shop:v1']);
  t.match(problems, [/^none is not installed .*; runc is here: runtimes.oci.program: runc/]);
});

t.test('a runtime that hangs ends with its boot', async (t) => {
  const containers = await useContainers(t);
  if (!containers) return;
  const { shared, options } = containers;
  const program = join(shared, 'hanging');
  writeFileSync(program, '#!/bin/sh\n[ "$1" = --version ] && exit\nsleep 1000\n', { mode: 0o755 });
  const runtime = await containers.open({ program });
  const controller = new AbortController();
  const reason = new Error('given up');
  const id = newId('shop');
  const app = containerApp({});
  const booting = runtime.boot(
    { id, app, revision: revisionOf(app) },
    { signal: controller.signal, onPhase: () => {} },
  );
  await eventually(() => processesWith(`${program} --root`).length > 0);
  controller.abort(reason);
  t.equal(await booting.catch((error: unknown) => error), reason);
  t.same(await containers.traces(), nothing);
  t.same(readdirSync(join(options.stateDir, 'containers')), []);
});

t.test('a keeper that is lost during a launch fails that boot at once, and no other', async (t) => {
  const containers = await useContainers(t);
  if (!containers) return;
  const { shared, options } = containers;
  const program = join(shared, 'hanging-once');
  const flag = join(shared, 'flag');
  writeFileSync(
    program,
    `#!/bin/sh\n[ "$1" = --version ] || [ -e ${flag} ] && exec runc "$@"\n: >${flag}\nsleep 1000\n`,
    { mode: 0o755 },
  );
  const runtime = await containers.open({ program });
  const booting = boot(runtime, containerApp({ command: ['sleep', '1000'] }));
  await eventually(() => processesWith(`${program} --root`).length > 0);
  process.kill(processesWith(join(options.stateDir, 'keepers'))[0] as number, 'SIGKILL');
  await t.rejects(booting, { message: /cannot start 'sleep' of app shop: its keeper ended/ });
  t.same(await containers.traces(), nothing);
  const { id } = await boot(runtime, containerApp({ command: ['sleep', '1000'] }));
  t.match(await runtime.inspect(id), { state: 'running' });
  await runtime.stop(id, 0);
  t.same(await containers.traces(), nothing);
});

t.test('a runtime that fails is quoted', async (t) => {
  const containers = await useContainers(t);
  if (!containers) return;
  const program = join(containers.shared, 'failing');
  const log = '{"level":"error","msg":"no room in the kernel"}';
  writeFileSync(program, `#!/bin/sh\n[ "$1" = --version ] && exit\necho '${log}' >"$4"\nexit 1\n`, { mode: 0o755 });
  const runtime = await containers.open({ program });
  const exits: Exit[] = [];
  runtime.watch((exit) => void exits.push(exit));
  await t.rejects(boot(runtime, containerApp({})), { message: /app shop: no room in the kernel/ });
  t.same(exits, [], 'a boot that fails is no exit');
  t.same(await containers.traces(), nothing);
});

t.test('a full subnet says what holds its addresses', async (t) => {
  const containers = await useContainers(t);
  if (!containers) return;
  const subnet = containers.options.subnet.replace('/24', '/29');
  const runtime = await containers.open({ subnet });
  for (let count = 1; count <= 5; count += 1) await boot(runtime, containerApp({}));
  await t.rejects(boot(runtime, containerApp({})), {
    message: /no free address from 10\..*: 5 leased to instances; give runtimes.oci.subnet more/,
  });
});

t.test('the bridge of another installation is left alone', async (t) => {
  const containers = await useContainers(t);
  const others = containers && (await useContainers(t));
  if (!others) return;
  const { bridge, subnet } = containers.options;
  await boot(await containers.open(), containerApp({}));
  const runtime = await others.open({ bridge, subnet });
  await t.rejects(boot(runtime, containerApp({})), { message: /is not of this installation; choose another name/ });
  t.match((await ociFindings({ ...others.options, bridge, subnet }, [])).problems, [/is not of this installation/]);
  t.same((await ociFindings(containers.options, [])).problems, []);
  t.same(await others.traces(), { ...nothing });
});

t.test('an app without a handler for SIGTERM ends at once, by itself or behind a shell', async (t) => {
  const containers = await useContainers(t);
  if (!containers) return;
  const runtime = await containers.open();
  const exits: Exit[] = [];
  runtime.watch((exit) => void exits.push(exit));
  const { id } = await boot(runtime, containerApp({ command: ['sleep', '1000'] }));
  const pid = Number(readFileSync(join(containers.options.stateDir, 'containers', id, 'pid'), 'utf8'));
  await eventually(async () => (await childrenOf(pid)).length > 0);
  await runtime.stop(id, 1e6);
  t.match(exits, [{ id, cause: 'signal SIGTERM' }]);
  t.same(await containers.traces(), nothing);
});

t.test('an app that is stopped as soon as it has booted ends at once, though it may not have begun', async (t) => {
  const containers = await useContainers(t);
  if (!containers) return;
  const runtime = await containers.open();
  for (let round = 0; round < 5; round += 1) {
    const { id } = await boot(runtime, containerApp({ command: ['sleep', '1000'] }));
    await runtime.stop(id, 1e6);
    t.same(await runtime.inspect(id), { state: 'gone' });
  }
  t.same(await containers.traces(), nothing);
});

for (const [whose, find] of [
  ['keeper', ({ options }: Containers) => processesWith(join(options.stateDir, 'keepers'))[0]],
  ['runtime', (containers: Containers) => records(containers)[0]?.process?.pid],
] as const) {
  t.test(`if the ${whose} of a container is killed, the container ends and is reported`, async (t) => {
    const containers = await useContainers(t);
    if (!containers) return;
    const runtime = await containers.open();
    const exits: Exit[] = [];
    runtime.watch((exit) => void exits.push(exit));
    const { id } = await boot(runtime, shellApp('trap "" TERM; sleep 1000 & wait'));
    process.kill(find(containers) ?? 0, 'SIGKILL');
    await eventually(() => exits.length > 0);
    t.match(exits, [{ id, app: 'shop' }]);
    await eventually(async () => (await containers.traces())['interfaces']?.length === 0);
    await runtime.stop(id, 0);
    t.same(await settled(containers), nothing);
  });
}

/** What can be seen on the disk of how far a boot or an end has come. */
const steps: Record<string, (containers: Containers, id: string) => boolean> = {
  'its address is leased': ({ options }) => leases(options.stateDir).length > 0,
  'its record is written': (containers) => records(containers).length > 0,
  'its namespaces are being made': ({ options }) => processesWith(join(options.stateDir, 'fs')).length > 0,
  'it is connected': ({ options }) => interfacesOf(options.bridge).length > 0,
  'its directory is made': (containers, id) => existsSync(pathOf(containers, id, '')),
  'its configuration is written': (containers, id) => existsSync(pathOf(containers, id, 'config.json')),
  'the runtime has begun': (containers, id) => existsSync(join(containers.options.stateDir, 'state', id)),
  'the app has begun': (containers, id) => existsSync(pathOf(containers, id, 'pid')),
  'its process is recorded': (containers) => records(containers)[0]?.process !== undefined,
  'its processes have ended': (containers) =>
    records(containers).some(({ process: main }) => main && !existsSync(`/proc/${main.pid}`)),
  'its directory is removed': (containers, id) =>
    records(containers)[0]?.process !== undefined && !existsSync(pathOf(containers, id, '')),
  'its address is free': ({ options }) =>
    existsSync(join(options.stateDir, 'addresses')) &&
    readdirSync(join(options.stateDir, 'addresses')).some((file) => file.endsWith('.freed')),
};

for (const [step, isReached] of Object.entries(steps)) {
  t.test(`a dispatcher that is killed when ${step} leaves nothing that the next one does not end`, async (t) => {
    const containers = await useContainers(t);
    if (!containers) return;
    const id = newId('shop');
    const child = dispatch(t, containers, id);
    const exited = once(child, 'exit');
    while (!isReached(containers, id) && child.exitCode === null) await turn();
    child.kill('SIGKILL');
    await exited;
    const next = await containers.open();
    const listed = await next.list();
    t.ok(listed.length <= 1);
    for (const found of listed) await next.stop(found.id, 0);
    t.same(await settled(containers), nothing);
  });
}

/** A dispatcher process that boots an instance and stops it. */
function dispatch(t: Test, { options }: Containers, id: string): ChildProcess {
  const { logger: _logger, clock: _clock, ...told } = options;
  const app = containerApp({});
  const order = { kind: 'oci', options: told, spec: { id, app, revision: revisionOf(app) }, stops: true };
  const script = resolve('test/fixtures/dispatcher.mjs');
  const child = spawn(process.execPath, [script, JSON.stringify(order)], { stdio: ['ignore', 'ignore', 'inherit'] });
  t.teardown(() => child.kill('SIGKILL'));
  return child;
}

/** Waits until nothing is left: the kernel removes an interface a moment after the last process. */
async function settled(containers: Containers): Promise<Record<string, string[]>> {
  let traces = await containers.traces();
  await eventually(async () => {
    traces = await containers.traces();
    return Object.values(traces).every(({ length }) => length === 0);
  }, 10_000).catch(() => undefined);
  return traces;
}

function mount(source: string, target: string) {
  return { source, target, readOnly: false, shared: false };
}

function pathOf({ options }: Containers, id: string, name: string): string {
  return join(options.stateDir, 'containers', id, name);
}

function interfacesOf(bridge: string): string[] {
  const path = `/sys/class/net/${bridge}/brif`;
  return existsSync(path) ? readdirSync(path) : [];
}

function leases(stateDir: string): string[] {
  const path = join(stateDir, 'addresses');
  return existsSync(path) ? readdirSync(path).filter((file) => /^\d+$/.test(file)) : [];
}

function records({ options }: Containers): ProcessRecord[] {
  const path = join(options.stateDir, 'instances');
  const files = existsSync(path) ? readdirSync(path).filter((file) => file.endsWith('.json')) : [];
  return files.flatMap((file) => {
    try {
      return [JSON.parse(readFileSync(join(path, file), 'utf8')) as ProcessRecord];
    } catch {
      return [];
    }
  });
}

/** Pids of the processes with these words in their command line. */
function processesWith(words: string): number[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.map(Number).filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').includes(words);
    } catch {
      return false;
    }
  });
}
