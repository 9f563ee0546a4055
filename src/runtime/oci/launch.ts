import { watch } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { App } from '../../model/app.js';
import { marker } from '../kept/environment.js';
import type { Starting } from '../kept/kept-runtime.js';
import { oneLine } from '../output/printable.js';
import { usualPath } from './command.js';
import type { Sandbox } from './sandbox.js';

/** Paths in the directory of an instance. */
export function pathsIn(directory: string) {
  const path = (name: string) => join(directory, name);
  return {
    directory,
    config: path('config.json'),
    etc: path('etc'),
    /** Number of the container's process 1; exists once the app runs. */
    pid: path('pid'),
    /** What the script, and the runtime, say of a failure. */
    error: path('error'),
    log: path('log'),
  };
}

export interface Launch {
  readonly app: App;
  readonly id: string;
  readonly directory: string;
  /** Token in the environment of the main process. */
  readonly secret: string;
  readonly sandbox: Sandbox;
  /** Directory on which its file systems are mounted in there. */
  readonly fs: string;
  /** The image below the instance's own layer; undefined for an empty one. */
  readonly lower: string | undefined;
  /** Runtime program and the directory of its state. */
  readonly runtime: string;
  readonly stateRoot: string;
}

/** Mounts a root file system with a fresh upper layer, then becomes the program that follows. */
const script = `
set -e
umask 022
directory=$1 fs=$2 lower=$3
shift 3
exec 3>&2 2>"$directory/error"
layer=$fs/$$
mkdir "$layer" "$layer/upper" "$layer/work"
mount -t overlay -o "nosuid,nodev,lowerdir=$lower,upperdir=$layer/upper,workdir=$layer/work" overlay "$fs/root"
exec 2>&3 3>&-
exec "$@"
`;

/** Starts the container. Resolves once the app runs; rejects with an Error that says what is wrong and what to do. */
export async function launch(start: Launch, { launch: run, ended, signal }: Starting): Promise<void> {
  const { directory, app } = start;
  const arrival = new AbortController();
  const arrived = fileIn(directory, 'pid', AbortSignal.any([signal, arrival.signal]));
  arrived.catch(() => {});
  try {
    await run({ ...commandOf(start), tellsSignals: true });
    const cause = await Promise.race([arrived, ended]);
    // An app that ended at once has started all the same.
    if (cause !== undefined && !(await exists(join(directory, 'pid')))) throw await startError(app, directory, cause);
  } finally {
    arrival.abort();
  }
}

/** The runtime, which stays as the parent of the container: whatever ends both, the kernel removes the sandbox. */
function commandOf({ directory, id, sandbox, fs, lower, runtime, stateRoot, secret }: Launch) {
  const { log, pid } = pathsIn(directory);
  const run = [
    ...[runtime, '--root', stateRoot, '--log', log, '--log-format', 'json'],
    ...['run', '--bundle', directory, '--pid-file', pid, id],
  ];
  const layer = lower === undefined ? [] : ['/bin/sh', '-c', script, 'fastcontainer', directory, fs, lower];
  const [name = '', value = ''] = marker(secret).split('=');
  return {
    program: 'nsenter',
    args: [`--mount=${sandbox.mountNamespace}`, '--', ...layer, ...run],
    env: { PATH: usualPath, [name]: value },
    cwd: '/',
  };
}

/** Resolves when a directory has a file. */
function fileIn(directory: string, name: string, signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve, reject) => {
    const give = (settle: () => void) => {
      watcher.close();
      signal.removeEventListener('abort', onAbort);
      settle();
    };
    const onAbort = () => give(() => reject(signal.reason as Error));
    const watcher = watch(directory, (_event, file) => file === name && give(() => resolve(undefined)));
    watcher.on('error', (error) => give(() => reject(error)));
    if (signal.aborted) onAbort();
    else signal.addEventListener('abort', onAbort, { once: true });
  });
}

async function startError(app: App, directory: string, cause: string): Promise<Error> {
  const { error, log } = pathsIn(directory);
  const [said, logged] = await Promise.all([error, log].map((path) => readFile(path, 'utf8').catch(() => '')));
  const reason = oneLine(lastMessage(logged ?? '') || (said ?? '')) || cause;
  const [program = ''] = app.command ?? [];
  return new Error(`cannot start '${program}' of app ${app.name}: ${adviceFor(reason, app) ?? reason}`);
}

/** The last message in a log of lines of JSON. */
function lastMessage(log: string): string {
  for (const line of log.trimEnd().split('\n').toReversed()) {
    try {
      const { level, msg } = JSON.parse(line) as { level?: unknown; msg?: unknown };
      if ((level === 'error' || level === 'fatal') && typeof msg === 'string') return msg;
    } catch {
      // A line of something else.
    }
  }
  return '';
}

function adviceFor(reason: string, { cwd, image = 'host', limits }: App): string | undefined {
  if (/executable file not found|exec: .*no such file/.test(reason))
    return `there is no such program in the image ${image}; install it there, or correct 'command'`;
  if (/exec: .*permission denied/.test(reason)) return "its user may not execute it; check the permissions, or 'user'";
  if (/chdir to cwd|mkdir .*cwd/.test(reason))
    return `there is no directory ${cwd} in it that its user may enter; correct 'cwd'`;
  if (/memory.*(limit|max)/.test(reason)) return `${reason}; limits.memory (${limits.memoryBytes}) may be too low`;
  return undefined;
}

async function exists(path: string): Promise<boolean> {
  return readFile(path).then(
    () => true,
    () => false,
  );
}
