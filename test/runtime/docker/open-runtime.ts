import { randomBytes } from 'node:crypto';
import { pino } from 'pino';
import type { Test } from 'tap';
import { type App, appWith, revisionOf } from '../../../src/model/app.js';
import type { Address } from '../../../src/model/instance.js';
import { type DockerRuntimeOptions, openDockerRuntime } from '../../../src/runtime/docker.js';
import type { BootPhase, InstanceSpec, Runtime } from '../../../src/runtime/runtime.js';
import { systemClock } from '../../../src/machine/system-clock.js';
import { noLimits } from '../../fixtures/app.js';
import type { TestDocker } from '../../fixtures/docker.js';

export interface OpenRuntime {
  readonly runtime: Runtime;
  readonly cmdbName: string;
  readonly network: string;
  /** Messages of the log so far. */
  readonly log: readonly string[];
  /** Opens another handle on the same containers, as a restarted dispatcher does. */
  reopen(): Runtime;
}

/** A docker runtime with a cmdb name and a network of its own; what it leaves behind is removed after the test. */
export function openRuntime(t: Test, engine: TestDocker, options: Partial<DockerRuntimeOptions> = {}): OpenRuntime {
  const cmdbName = `test-${randomBytes(4).toString('hex')}`;
  const network = options.network ?? `net-${cmdbName}`;
  const log: string[] = [];
  const logger = pino({ level: 'trace' }, { write: (line: string) => void log.push(JSON.parse(line).msg) });
  const handles: Runtime[] = [];
  const reopen = () => {
    const all = {
      socketPath: engine.socketPath,
      network,
      cmdbName,
      installation: cmdbName,
      logger,
      clock: systemClock,
      ...options,
    };
    const runtime = openDockerRuntime(all);
    handles.push(runtime);
    return runtime;
  };
  const runtime = reopen();
  // The system clock's timers do not keep a process alive; in the daemon its server does.
  const alive = setInterval(() => undefined, 60_000);
  t.teardown(async () => {
    clearInterval(alive);
    for (const handle of handles) await handle.close();
    await sweep(engine, cmdbName, network);
  });
  return { runtime, cmdbName, network, log, reopen };
}

async function sweep({ docker }: TestDocker, cmdbName: string, network: string): Promise<void> {
  const filters = { label: [`fastcontainer.cmdb=${cmdbName}`] };
  for (const { Id } of await docker.listContainers({ all: true, filters })) {
    await docker
      .getContainer(Id)
      .remove({ force: true, v: true })
      .catch(() => undefined);
  }
  await docker
    .getNetwork(network)
    .remove()
    .catch(() => undefined);
}

/** An app for the docker runtime, complete. */
export function dockerApp(changes: Partial<App> & Pick<App, 'image'>): App {
  return appWith({
    name: 'shop',
    domains: ['shop.test'],
    runtime: 'docker',
    limits: noLimits,
    ...{ queue: { max: 10, timeoutMs: 10_000 }, idleTtlMs: 60_000, maxLifetimeMs: 600_000, bootTimeoutMs: 60_000 },
    ...{ drainTimeoutMs: 5_000, stopTimeoutMs: 2_000, requestTimeoutMs: 60_000, maxRequestBodyBytes: 1e9 },
    ...changes,
  });
}

export function specOf(app: App): InstanceSpec {
  return { id: `${app.name}-${randomBytes(6).toString('hex')}`, app, revision: revisionOf(app) };
}

export interface Booted {
  readonly id: string;
  readonly address: Address;
  readonly phases: readonly BootPhase[];
}

export async function bootApp(runtime: Runtime, app: App, signal = new AbortController().signal): Promise<Booted> {
  const spec = specOf(app);
  const phases: BootPhase[] = [];
  const address = await runtime.boot(spec, { signal, onPhase: (phase) => void phases.push(phase) });
  return { id: spec.id, address, phases };
}
