import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import t from 'tap';
import { revisionOf } from '../../../src/model/app.js';
import { eventually } from '../../fixtures/eventually.js';
import { boot, containerApp, type Containers, newId, nothing, useContainers } from './open-containers.js';

t.test('a boot takes a sandbox that is ready, with its address, and the next one is made', async (t) => {
  const containers = await useContainers(t);
  if (!containers) return;
  const runtime = await containers.open({ sandboxes: 1 });
  await eventually(async () => {
    const ready = readyOf(containers);
    const { id, address } = await boot(runtime, containerApp({}));
    await runtime.stop(id, 0);
    return ready.includes(address.host);
  });
  await eventually(() => readyOf(containers).length === 1);
  await runtime.close();
  await eventually(async () => (await containers.traces())['interfaces']?.length === 0);
  t.same(await containers.traces(), nothing, 'the ready one ends with its dispatcher');
});

t.test('a dispatcher that is killed leaves no sandbox, and its instance keeps its own', async (t) => {
  const containers = await useContainers(t);
  if (!containers) return;
  const { logger: _logger, clock: _clock, ...told } = containers.options;
  const app = containerApp({});
  const spec = { id: newId('shop'), app, revision: revisionOf(app) };
  const order = { kind: 'oci', options: { ...told, sandboxes: 2 }, spec, stays: true };
  const script = resolve('test/fixtures/dispatcher.mjs');
  const child = spawn(process.execPath, [script, JSON.stringify(order)], { stdio: ['ignore', 'ignore', 'inherit'] });
  t.teardown(() => child.kill('SIGKILL'));
  await eventually(async () => (await containers.traces())['interfaces']?.length === 3);
  child.kill('SIGKILL');
  await once(child, 'exit');
  await eventually(async () => (await containers.traces())['interfaces']?.length === 1);
  const next = await containers.open();
  t.same(readyOf(containers), [], 'their addresses are free again');
  t.match(await next.inspect(spec.id), { state: 'running' });
  await next.stop(spec.id, 0);
  await eventually(async () => (await containers.traces())['interfaces']?.length === 0);
  t.same(await containers.traces(), nothing);
});

t.test('a sandbox whose bridge was removed meanwhile is not used', async (t) => {
  const containers = await useContainers(t);
  if (!containers) return;
  const runtime = await containers.open({ sandboxes: 1 });
  const { id } = await boot(runtime, containerApp({}));
  await eventually(async () => (await containers.traces())['interfaces']?.length === 2);
  const ready = readyOf(containers);
  await runtime.stop(id, 0);
  execFileSync('ip', ['link', 'delete', containers.options.bridge]);
  const { address } = await boot(runtime, containerApp({}));
  t.notSame([address.host], ready);
});

t.test('a network plugin that fails is quoted, and one that hangs ends with its boot', async (t) => {
  const containers = await useContainers(t);
  if (!containers) return;
  const pluginDir = join(containers.shared, 'plugins');
  mkdirSync(pluginDir);
  symlinkSync('/usr/lib/cni/static', join(pluginDir, 'static'));
  const plugin = (script: string) =>
    writeFileSync(join(pluginDir, 'bridge'), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  plugin(`echo '{"code": 100, "msg": "no room in the switch"}'; exit 1`);
  const runtime = await containers.open({ pluginDir });
  await t.rejects(boot(runtime, containerApp({})), {
    message: /cannot start app shop: cannot connect it to its network: no room in the switch/,
  });
  t.same(await containers.traces(), nothing);
  const flag = join(containers.shared, 'begun');
  plugin(`: >${flag}; exec sleep 1000`);
  const controller = new AbortController();
  const reason = new Error('given up');
  const app = containerApp({});
  const spec = { id: newId('shop'), app, revision: revisionOf(app) };
  const booting = runtime.boot(spec, { signal: controller.signal, onPhase: () => {} });
  await eventually(() => existsSync(flag));
  controller.abort(reason);
  t.equal(await booting.catch((error: unknown) => error), reason);
  t.same(await containers.traces(), nothing);
});

/** Addresses of the sandboxes that are ready. */
function readyOf({ options }: Containers): string[] {
  const directory = join(options.stateDir, 'addresses');
  const files = existsSync(directory) ? readdirSync(directory).filter((file) => /^\d+$/.test(file)) : [];
  const base = options.subnet.split('.').slice(0, 3).join('.');
  return files.flatMap((file) =>
    readFileSync(join(directory, file), 'utf8').includes('"ready-') ? [`${base}.${Number(file) % 256}`] : [],
  );
}
