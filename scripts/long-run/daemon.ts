import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createWriteStream } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { stringify } from 'yaml';

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
      ...{ listen: { http: '127.0.0.1:0' }, admin: { listen: '127.0.0.1:0' } },
      ...{ cmdb: cmdb ?? `lmdb:${join(dir, 'cmdb')}`, stateDir: join(dir, 'state'), apps: './apps/*.yaml' },
      // A freed port rests for a minute: there have to be as many as boots in that time.
      runtimes: { process: { ports: '17000-18999' } },
    }),
  );
  const main = resolve(import.meta.dirname, '../../src/main.js');
  const child = spawn(process.execPath, [main, 'start', '--stop-apps', '--config', file], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  process.once('exit', () => child.kill());
  const logFile = join(dir, 'log');
  child.stdout.pipe(createWriteStream(logFile));
  const { http, admin } = await listening(child);
  return {
    ...{ child, run, apps: names, logFile },
    port: Number(http.split(':').at(-1)),
    admin: `http://${admin}`,
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

function listening(child: ChildProcess): Promise<{ http: string; admin: string }> {
  return new Promise((found, failed) => {
    child.once('exit', (code) => failed(new Error(`the daemon ended with code ${code} before it listened`)));
    createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
      if (!line.includes('"listening"')) return;
      const { http, admin } = JSON.parse(line) as { http: string[]; admin: string };
      found({ http: http[0] ?? '', admin });
    });
  });
}
