import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import type { App } from '../../src/model/app.js';
import { openProcessRuntime } from '../../src/runtime/process.js';
import type { Runtime } from '../../src/runtime/runtime.js';
import { systemClock } from '../../src/machine/system-clock.js';
import { appUser } from '../fixtures/app-user.js';
import { portRange } from '../fixtures/port-range.js';
import { useDocker } from '../fixtures/docker.js';
import { testImage } from '../fixtures/docker-image.js';
import { type Subject, testRuntime } from './conformance.js';
import { dockerApp, openRuntime } from './docker/open-runtime.js';
import { containerApp, useContainers } from './oci/open-containers.js';

const deaf = `process.on('SIGTERM', () => {}); setInterval(() => {}, 1e6); console.log('deaf')`;

void t.test('docker', async (t) => {
  const engine = await useDocker(t);
  if (!engine) return;
  const image = await testImage(engine.docker, 'node');
  testRuntime(t, async (t) => {
    const { runtime, reopen } = openRuntime(t, engine);
    const handles = [runtime];
    return {
      open: async () => handles.pop() ?? reopen(),
      app: (env = {}) => dockerApp({ image, env }),
      deafApp: () => dockerApp({ image, command: ['node', '-e', deaf] }),
    };
  });
});

void t.test('process', async (t) => testRuntime(t, processes));

void t.test('oci', async (t) => testRuntime(t, containers));

/** The app's file is mounted, and the programs are the host's. */
async function containers(t: Test): Promise<Subject | undefined> {
  const found = await useContainers(t);
  if (!found) return undefined;
  const target = resolve('test/fixtures/apps');
  const mounts = [{ source: target, target: '/apps', readOnly: true, shared: false }];
  return {
    open: () => found.open({ sandboxes: 2 }),
    app: (env = {}) => containerApp({ env, mounts, command: ['node', '/apps/web.mjs'] }),
    deafApp: () => containerApp({ command: ['node', '-e', deaf] }),
  };
}

async function processes(t: Test): Promise<Subject> {
  const stateDir = await mkdtemp(join(tmpdir(), 'fastcontainer-process-'));
  const { from } = portRange(t);
  const handles: Runtime[] = [];
  const alive = setInterval(() => undefined, 60_000);
  const open = async () => {
    const ports = { from, to: from + 9 };
    const users = { from: 1_900_000_000, to: 1_900_000_099 };
    const logger = pino({ level: 'silent' });
    const whose = { cmdbName: 'test', installation: 'test' };
    const runtime = await openProcessRuntime({ stateDir, ...whose, ports, users, logger, clock: systemClock });
    handles.push(runtime);
    return runtime;
  };
  t.teardown(async () => {
    const last = await open();
    for (const { id } of await last.list()) await last.stop(id, 0);
    for (const handle of handles) await handle.close();
    clearInterval(alive);
    await rm(stateDir, { recursive: true, force: true });
  });
  const app = (changes: Partial<App>): App => {
    const { image: _none, ...rest } = dockerApp({ image: '', ...changes });
    return { ...rest, runtime: 'process', user: appUser };
  };
  return {
    open,
    app: (env = {}) => app({ env, command: [process.execPath, resolve('test/fixtures/apps/web.mjs')] }),
    deafApp: () => app({ command: [process.execPath, '-e', deaf] }),
  };
}
