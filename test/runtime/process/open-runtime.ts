import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import type { Test } from 'tap';
import { type App, revisionOf } from '../../../src/model/app.js';
import type { Address } from '../../../src/model/instance.js';
import { openProcessRuntime, type ProcessRuntimeOptions } from '../../../src/runtime/process.js';
import type { Runtime } from '../../../src/runtime/runtime.js';
import { systemClock } from '../../../src/system-clock.js';
import { testApp } from '../../fixtures/app.js';
import { portRange } from '../../fixtures/port-range.js';

export interface OpenProcesses {
  readonly stateDir: string;
  readonly ports: { from: number; to: number };
  /** What was logged, parsed. */
  readonly log: Record<string, unknown>[];
  open(options?: Partial<ProcessRuntimeOptions>): Promise<Runtime>;
}

/** A state directory of its own; what still runs in it when the test ends is stopped. */
export async function processes(t: Test, size = 10): Promise<OpenProcesses> {
  const stateDir = await mkdtemp(join(tmpdir(), 'fastcontainer-process-'));
  const { from } = portRange(t);
  const ports = { from, to: from + size - 1 };
  const log: Record<string, unknown>[] = [];
  const logger = pino({ level: 'debug' }, { write: (line: string) => void log.push(JSON.parse(line)) });
  const handles: Runtime[] = [];
  const alive = setInterval(() => undefined, 60_000);
  const open = async (options: Partial<ProcessRuntimeOptions> = {}) => {
    const runtime = await openProcessRuntime({
      stateDir,
      cmdbName: 'test',
      ports,
      logger,
      clock: systemClock,
      ...options,
    });
    handles.push(runtime);
    return runtime;
  };
  t.teardown(async () => {
    const last = await open();
    for (const { id } of await last.list()) await last.stop(id, 0);
    for (const handle of handles) await handle.close();
    clearInterval(alive);
    await rm(stateDir, { recursive: true, force: true, maxRetries: 5 });
  });
  return { stateDir, ports, log, open };
}

/** An app that runs this JavaScript. */
export function scriptApp(code: string, overrides: Partial<App> = {}): App {
  return testApp({ name: 'shop', command: [process.execPath, '-e', code], ...overrides });
}

/** Boots and resolves to id and address. */
export async function bootScript(
  runtime: Runtime,
  app: App,
  signal = new AbortController().signal,
): Promise<{ id: string; address: Address }> {
  const id = `${app.name}-${randomBytes(4).toString('hex')}`;
  const address = await runtime.boot({ id, app, revision: revisionOf(app) }, { signal, onPhase: () => {} });
  return { id, address };
}
