import { watch } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { App } from '../../model/app.js';
import { marker } from '../kept/environment.js';
import type { Starting } from '../kept/kept-runtime.js';
import { oneLine } from '../output/printable.js';
import { usualPath } from './command.js';

/** Paths in the directory of an instance. What is below `fs` exists only in the mount namespace of its own processes. */
export function pathsIn(directory: string) {
  const path = (name: string) => join(directory, name);
  return {
    directory,
    config: path('config.json'),
    cni: path('cni.json'),
    etc: path('etc'),
    /** Number of the container's process 1; exists once the app runs. */
    pid: path('pid'),
    /** What the script, and the runtime, say of a failure. */
    error: path('error'),
    log: path('log'),
    fs: path('fs'),
    root: path('fs/root'),
    tmp: path('fs/tmp'),
    run: path('fs/run'),
    netns: path('fs/net'),
  };
}

export interface Launch {
  readonly app: App;
  readonly id: string;
  readonly directory: string;
  /** Token in the environment of the main process. */
  readonly secret: string;
  readonly uid: number;
  readonly gid: number;
  /** What the instance may write to its own file systems. */
  readonly diskBytes: number;
  /** Names in the root directory that are links into /usr. */
  readonly links: readonly string[];
  /** The image below the instance's own layer; undefined for an empty one. */
  readonly lower: string | undefined;
  readonly pluginDir: string;
  /** Runtime program and the directory of its state. */
  readonly runtime: string;
  readonly stateRoot: string;
}

/**
 * Runs in a mount namespace of its own and becomes the OCI runtime, which stays as the parent of the container. Whatever ends these
 * processes, the kernel then removes the mounts, the layer that was written to, the network namespace and its interface.
 */
const script = `
set -e
directory=$1 id=$2 uid=$3 gid=$4 size=$5 lower=$6 plugins=$7 runtime=$8 state=$9
shift 9
exec 3>&2 2>"$directory/error"
fs=$directory/fs
mount -t tmpfs -o "nosuid,mode=0711,size=$size" fastcontainer "$fs"
mkdir "$fs/root" "$fs/run" "$fs/upper" "$fs/work"
mkdir -m 1777 "$fs/tmp"
[ "$uid" = 0 ] || chown "$uid:$gid" "$fs/run"
if [ -n "$lower" ]; then
  mount -t overlay -o "nosuid,lowerdir=$lower,upperdir=$fs/upper,workdir=$fs/work" overlay "$fs/root"
fi
for name; do ln -s "usr/$name" "$fs/root/$name"; done
: >"$fs/net"
unshare --net="$fs/net" /bin/sh -c '
  for path in all default; do
    path=/proc/sys/net/ipv6/conf/$path/disable_ipv6
    [ ! -e "$path" ] || echo 1 >"$path"
  done
  exec ip link set dev lo up'
export CNI_COMMAND=ADD CNI_CONTAINERID="$id" CNI_NETNS="$fs/net" CNI_IFNAME=eth0 CNI_PATH="$plugins"
"$plugins/bridge" <"$directory/cni.json" >"$directory/cni.result" || { cat "$directory/cni.result" >&2; exit 1; }
unset CNI_COMMAND CNI_CONTAINERID CNI_NETNS CNI_IFNAME CNI_PATH
port=
while read -r key value; do
  case $value in '"veth'*) port=\${value#?}; port=\${port%%'"'*} ;; esac
done <"$directory/cni.result"
# Ports of a bridge that are isolated reach only the host.
echo 1 >"/sys/class/net/$port/brport/isolated"
exec 2>&3 3>&-
exec "$runtime" --root "$state" --log "$directory/log" --log-format json \\
  run --bundle "$directory" --pid-file "$directory/pid" "$id"
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

function commandOf({
  directory,
  id,
  uid,
  gid,
  diskBytes,
  lower,
  pluginDir,
  runtime,
  stateRoot,
  links,
  secret,
}: Launch) {
  const words = [directory, id, uid, gid, diskBytes, lower ?? '', pluginDir, runtime, stateRoot, ...links];
  const [name = '', value = ''] = marker(secret).split('=');
  return {
    program: 'unshare',
    // What is unmounted on the host is unmounted here as well, but nothing of here appears there.
    args: ['--mount', '--propagation', 'slave', '--', '/bin/sh', '-c', script, 'fastcontainer', ...words.map(String)],
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
  if (/exchange full/i.test(reason)) return 'the bridge has no port left: an interface holds at most 1023 instances';
  return undefined;
}

async function exists(path: string): Promise<boolean> {
  return readFile(path).then(
    () => true,
    () => false,
  );
}
