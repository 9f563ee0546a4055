import { randomBytes } from 'node:crypto';
import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { Writable } from 'node:stream';
import { type Logger, pino } from 'pino';
import type { Test } from 'tap';
import { type App, revisionOf } from '../../../src/model/app.js';
import type { Address } from '../../../src/model/instance.js';
import { openProcessRuntime, type ProcessRuntimeOptions } from '../../../src/runtime/process.js';
import type { Runtime } from '../../../src/runtime/runtime.js';
import { systemClock } from '../../../src/machine/system-clock.js';
import { testApp } from '../../fixtures/app.js';

export const webApp = [process.execPath, resolve('test/fixtures/apps/web.mjs')];

/** Ten ports from here on are taken by no other test process that runs at the same time. fetch refuses 10080. */
export const portsOfThisProcess = 11_000 + (process.pid % 900) * 10;

export interface Processes {
  readonly stateDir: string;
  /** Other users can enter it. */
  readonly scratchDir: string;
  readonly options: ProcessRuntimeOptions;
  /** What was logged, parsed. */
  readonly log: Record<string, unknown>[];
  /** A handle on the same processes, closed when the test ends. */
  open(changes?: Partial<ProcessRuntimeOptions>): Promise<Runtime>;
  /** What is left of instances: records, output, leases and scratch directories. */
  traces(): Promise<string[]>;
}

/** A state directory with ports of its own, and a log from `level` on; what the test leaves running is killed when it ends. */
export async function useProcesses(t: Test, level = 'debug'): Promise<Processes> {
  const stateDir = await mkdtemp(join(tmpdir(), 'fastcontainer-process-'));
  const scratchDir = await mkdtemp(join(tmpdir(), 'fastcontainer-scratch-'));
  await chmod(scratchDir, 0o711);
  const from = portsOfThisProcess;
  const log: Record<string, unknown>[] = [];
  const ports = { from, to: from + 9 };
  const users = { from: 1_900_000_000, to: 1_900_000_099 };
  // Tests look at their apps by the numbers that these have of themselves.
  const pidNamespace = false;
  const logger = recorder(log, level);
  const options = {
    pidNamespace,
    stateDir,
    scratchDir,
    cmdbName: 'test',
    installation: 'test',
    ports,
    users,
    logger,
    clock: systemClock,
  };
  const handles: Runtime[] = [];
  const open = async (changes: Partial<ProcessRuntimeOptions> = {}) => {
    const runtime = await openProcessRuntime({ ...options, ...changes });
    handles.push(runtime);
    return runtime;
  };
  // No timer of the runtime keeps this process alive.
  const alive = setInterval(() => {}, 60_000);
  t.teardown(async () => {
    const last = await open();
    for (const { id } of await last.list()) await last.stop(id, 0);
    for (const handle of handles) await handle.close();
    clearInterval(alive);
    for (const directory of [stateDir, scratchDir]) await rm(directory, { recursive: true, force: true });
  });
  const traces = async () => {
    const directories = ['instances', 'output', 'ports'].map((name) => join(stateDir, name));
    const files = await Promise.all([...directories, scratchDir].map((directory) => readdir(directory)));
    return files.flat().filter((file) => !file.endsWith('.freed'));
  };
  return { stateDir, scratchDir, options, log, open, traces };
}

export interface Booted {
  readonly id: string;
  readonly app: App;
  readonly address: Address;
}

export async function boot(runtime: Runtime, changes: Partial<App>, id?: string): Promise<Booted> {
  const app = testApp(changes);
  const spec = { id: id ?? newId(app.name), app, revision: revisionOf(app) };
  const address = await runtime.boot(spec, { signal: new AbortController().signal, onPhase: () => {} });
  return { id: spec.id, app, address };
}

/** Ids are unique on a machine: what carries one belongs to that instance, whoever started it. */
export function newId(name: string): string {
  return `${name}-${randomBytes(6).toString('hex')}`;
}

/** A shell that runs `script`. */
export function shell(script: string): Partial<App> {
  return { command: ['/bin/sh', '-c', script] };
}

function recorder(log: Record<string, unknown>[], level: string): Logger {
  const sink = new Writable({
    write(chunk: Buffer, _encoding, done) {
      for (const line of chunk.toString().split('\n')) if (line) log.push(JSON.parse(line) as Record<string, unknown>);
      done();
    },
  });
  return pino({ level }, sink);
}
