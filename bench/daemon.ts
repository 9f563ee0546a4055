import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse, stringify } from 'yaml';
import type { DaemonTiming } from '../src/daemon/daemon.js';
import type { Processes } from './processes.js';

export interface DaemonOptions {
  readonly processes: Processes;
  /** Of its files; kept between two daemons that share a store. */
  readonly dir: string;
  /** Documents of app files; each its own file where `files` says so. */
  readonly apps: readonly Readonly<Record<string, unknown>>[];
  /** `lmdb:` in `dir` unless told. */
  readonly cmdb?: string;
  /** Keys of the main file beside those of the bench. */
  readonly main?: Readonly<Record<string, unknown>>;
  /** Words that put it on a core. */
  readonly pinned?: readonly string[];
  /** Times that operators cannot set, where a part needs others. */
  readonly timing?: Partial<DaemonTiming>;
}

/** A dispatcher in a process of its own, which ends its apps when it is stopped. */
export interface BenchDaemon {
  readonly pid: number;
  readonly port: number;
  readonly admin: string;
  /** From its start to its line `listening`, in milliseconds. */
  readonly startMs: number;
  /** Resolves when its log has a line, from now on, that holds this text. */
  says(text: string): Promise<void>;
  stop(): Promise<void>;
}

/** Under which the bench's containers and keys go. */
export const cmdbName = `bench-${process.pid}`;

/** With which its records are signed. */
export const benchKey = 'a-key-of-the-bench-which-is-no-secret';

/** Of its admin side. */
export const adminToken = 'token-of-the-bench';

/** Ports of processes: below those that the system gives out itself, apart from those of tests and of an installation. */
const ports = '31000-32700';

/** Writes the files of a dispatcher, starts it, and waits until it listens. Rejects where it ends before. */
export async function startDaemon(options: DaemonOptions): Promise<BenchDaemon> {
  const config = writeConfig(options);
  const program = [process.execPath, ...programOf(options.timing, config)];
  const from = performance.now();
  const started = options.processes.start('fastcontainer', [...(options.pinned ?? []), ...program], { NO_COLOR: '1' });
  const said = new Promise<{ http: string[]; admin: string }>((found) => {
    started.lines.on('line', (line) => {
      if (line.includes('"msg":"listening"')) found(JSON.parse(line) as { http: string[]; admin: string });
    });
  });
  const { http, admin } = await Promise.race([said, started.ended]);
  return {
    pid: started.pid,
    port: Number(http[0]?.split(':').at(-1)),
    admin: `http://${admin}`,
    startMs: performance.now() - from,
    says: (text) => {
      const found = new Promise<void>((resolve) => {
        const look = (line: string) => {
          if (!line.includes(text)) return;
          started.lines.off('line', look);
          resolve();
        };
        started.lines.on('line', look);
      });
      return Promise.race([found, started.ended]);
    },
    stop: () => started.stop(),
  };
}

function programOf(timing: Partial<DaemonTiming> | undefined, config: string): string[] {
  if (timing) return [besides('programs/timed-daemon.js'), JSON.stringify(timing), config];
  return [besides('../src/main.js'), 'start', '--stop-apps', '--config', config];
}

/** A file of the checkout that this one belongs to, which may be another than the bench that runs: see `--against`. */
function besides(path: string): string {
  return fileURLToPath(new URL(path, import.meta.url));
}

/** Writes an app's file anew, whole at every moment: the dispatcher takes it over by itself. */
export function writeApp(dir: string, app: Readonly<Record<string, unknown>>): void {
  replace(join(dir, 'apps', `${String(app['name'])}.yaml`), app);
}

/** Writes further defaults of apps into the main file; the dispatcher takes them over by itself. */
export function writeDefaults(dir: string, defaults: Readonly<Record<string, unknown>>): void {
  const file = join(dir, 'fastcontainer.yaml');
  const main = parse(readFileSync(file, 'utf8')) as { defaults?: object };
  replace(file, { ...main, defaults: { ...main.defaults, ...defaults } });
}

function replace(file: string, content: object): void {
  writeFileSync(`${file}.new`, stringify(content));
  renameSync(`${file}.new`, file);
}

function writeConfig({ dir, apps, cmdb = `lmdb:${join(dir, 'cmdb')}`, main }: DaemonOptions): string {
  mkdirSync(join(dir, 'apps'), { recursive: true });
  for (const app of apps) writeApp(dir, app);
  const file = join(dir, 'fastcontainer.yaml');
  writeFileSync(
    file,
    stringify({
      listen: { http: '127.0.0.1:0' },
      admin: { listen: '127.0.0.1:0', token: adminToken },
      log: { level: 'info' },
      cmdb: { url: cmdb, name: cmdbName, signingKey: benchKey },
      stateDir: join(dir, 'state'),
      apps: './apps/*.yaml',
      // Apps of the bench use files of its own, which no other user may read.
      ...(process.getuid?.() === 0 && { defaults: { user: 'root' } }),
      runtimes: { process: { ports, scratchDir: join(dir, 'scratch') } },
      ...main,
    }),
  );
  return file;
}
