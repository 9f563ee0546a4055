import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { stringify } from 'yaml';
import { runDaemon } from '../load/daemon-command.js';
import { adminToken } from './vital-signs.js';

export interface DaemonUnderLoad {
  readonly child: ChildProcess;
  readonly port: number;
  /** Base URL of the admin side. */
  readonly admin: string;
  /** Names the run on the command line of each of its apps. */
  readonly run: string;
  readonly apps: readonly string[];
  /** Where its log is; kept where the run failed. */
  readonly logFile: string;
  /** SIGTERM; resolves to the exit code. */
  stop(): Promise<number | null>;
  /** Removes what it wrote. */
  remove(): Promise<void>;
}

export interface DaemonSettings {
  readonly apps: number;
  readonly idleTtl: string;
  readonly maxLifetime: string;
  /** Store URL; default: an LMDB of its own. */
  readonly cmdb?: string;
}

/** The real command in a process of its own, in front of many small apps on the process runtime. */
export async function startDaemon({ apps, idleTtl, maxLifetime, cmdb }: DaemonSettings): Promise<DaemonUnderLoad> {
  const dir = await mkdtemp(join(tmpdir(), 'fastcontainer-long-run-'));
  const run = dir.slice(dir.lastIndexOf('-') + 1);
  const names = Array.from({ length: apps }, (_, index) => `app${index}`);
  const program = resolve(import.meta.dirname, '../load/app.js');
  await mkdir(join(dir, 'apps'));
  await Promise.all(
    names.map((name) =>
      writeFile(
        join(dir, 'apps', `${name}.yaml`),
        stringify({
          ...{ name, domains: [`${name}.localhost`], runtime: 'process', command: [process.execPath, program, run] },
          ...{ idleTtl, maxLifetime, drainTimeout: '60s', stopTimeout: '5s' },
          // A busy machine may be slow; what is looked for is what is lost.
          ...{ bootTimeout: '3m', queue: { timeout: '5m' } },
        }),
      ),
    ),
  );
  const file = join(dir, 'fastcontainer.yaml');
  await writeFile(
    file,
    stringify({
      ...{ listen: { http: '127.0.0.1:0' }, admin: { listen: '127.0.0.1:0', token: adminToken } },
      ...{ cmdb: cmdb ?? `lmdb:${join(dir, 'cmdb')}`, stateDir: join(dir, 'state'), apps: './apps/*.yaml' },
      ...(process.getuid?.() === 0 && { defaults: { user: 'root' } }),
      // A freed port rests for a minute: there have to be as many as boots in that time.
      runtimes: { process: { ports: '17000-18999', scratchDir: join(dir, 'scratch') } },
    }),
  );
  const logFile = join(dir, 'log');
  const { child, listening } = runDaemon(file, logFile);
  const { port, admin } = await listening;
  return {
    ...{ child, run, apps: names, logFile, port, admin },
    async stop() {
      if (child.exitCode === null && child.signalCode === null) {
        const exited = once(child, 'exit');
        child.kill('SIGTERM');
        await exited;
      }
      return child.exitCode;
    },
    remove: () => rm(dir, { recursive: true, force: true, maxRetries: 5 }),
  };
}
