import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, openSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { oneLine } from '../output/printable.js';
import { usualPath } from './command.js';
import { cniConfig } from './network.js';

export interface SandboxPlan {
  /** Directory on which the file systems of every sandbox are mounted, each in a mount namespace of its own. */
  readonly fs: string;
  /** What may be written to them. */
  readonly diskBytes: number;
  /** Names in the root directory of the image `host` that are links into /usr. */
  readonly links: readonly string[];
  readonly pluginDir: string;
  readonly bridge: string;
  readonly subnet: string;
}

/** Paths that exist only in the mount namespace of a sandbox. */
export function pathsOfSandbox(fs: string) {
  const path = (name: string) => join(fs, name);
  return { fs, host: path('host'), root: path('root'), tmp: path('tmp'), run: path('run') };
}

/**
 * Runs in both new namespaces, before the network has an interface. What is unmounted on the host is unmounted here as well, but
 * nothing of here appears there.
 */
const script = `
set -e
umask 022
fs=$1 size=$2
shift 2
for name in all default; do
  path=/proc/sys/net/ipv6/conf/$name/disable_ipv6
  [ ! -e "$path" ] || echo 1 >"$path"
done
echo made
mount -t tmpfs -o "nosuid,mode=0711,size=$size" fastcontainer "$fs"
mkdir "$fs/host" "$fs/root"
mkdir -m 1777 "$fs/tmp" "$fs/run"
[ $# = 0 ] || ln -s "$@" "$fs/host"
ip link set dev lo up
read -r end || :
`;

/**
 * A network namespace that is connected to the bridge, and a mount namespace with the file systems of one instance. Only descriptors of
 * this process hold them until the processes of the instance have entered: whatever ends the holders, the kernel removes all of it.
 */
export class Sandbox {
  readonly address: string;
  /** Paths that any process of root may open for as long as this is open. */
  readonly mountNamespace: string;
  readonly networkNamespace: string;
  readonly #plan: SandboxPlan;
  readonly #descriptors: readonly number[];
  /** The host's end of its interface. */
  readonly #port: string;
  #isOpen = true;

  /** Rejects with the signal's reason, or an Error that says what is wrong; nothing is left then. */
  static async make(plan: SandboxPlan, address: string, signal: AbortSignal): Promise<Sandbox> {
    const { fs, diskBytes, links } = plan;
    signal.throwIfAborted();
    const words = [fs, String(diskBytes), ...links.map((name) => `usr/${name}`)];
    const making = promisify(execFile)(
      'unshare',
      ['--mount', '--net', '--propagation', 'slave', '--', '/bin/sh', '-c', script, 'fastcontainer', ...words],
      { env: { PATH: usualPath, LC_ALL: 'C' }, cwd: '/', signal, killSignal: 'SIGKILL' },
    );
    const { child } = making;
    const made = making.catch((error: Said) => {
      throw new Error(`cannot make its namespaces: ${oneLine(error.stderr ?? '') || oneLine(error.message)}`, {
        cause: error,
      });
    });
    made.catch(() => {});
    const descriptors: number[] = [];
    try {
      await Promise.race([once(child.stdout as Readable, 'data', { signal }), made]);
      for (const name of ['mnt', 'net']) descriptors.push(openSync(`/proc/${child.pid}/ns/${name}`, 'r'));
      child.stdin?.end();
      const port = await connect(plan, address, pathOf(descriptors[1]), signal);
      await made;
      return new Sandbox(plan, address, descriptors, port);
    } catch (error) {
      child.kill('SIGKILL');
      for (const descriptor of descriptors) closeSync(descriptor);
      signal.throwIfAborted();
      throw error;
    }
  }

  private constructor(plan: SandboxPlan, address: string, descriptors: readonly number[], port: string) {
    this.address = address;
    this.#plan = plan;
    this.#descriptors = descriptors;
    this.#port = port;
    this.mountNamespace = pathOf(descriptors[0]);
    this.networkNamespace = pathOf(descriptors[1]);
  }

  /** Whether it is still connected: somebody may have removed the bridge. */
  get isConnected(): boolean {
    return existsSync(`/sys/class/net/${this.#plan.bridge}/brif/${this.#port}`);
  }

  /** Lets go of the namespaces. Harmless twice. */
  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    for (const descriptor of this.#descriptors) closeSync(descriptor);
  }
}

function pathOf(descriptor: number | undefined): string {
  return `/proc/${process.pid}/fd/${descriptor}`;
}

/** Connects a network namespace to the bridge. Resolves to the name of the host's end of the interface. */
async function connect(plan: SandboxPlan, address: string, namespace: string, signal: AbortSignal): Promise<string> {
  const { pluginDir, bridge, subnet } = plan;
  const env = {
    ...{ PATH: usualPath, CNI_COMMAND: 'ADD', CNI_CONTAINERID: address, CNI_NETNS: namespace },
    ...{ CNI_IFNAME: 'eth0', CNI_PATH: pluginDir },
  };
  const adding = promisify(execFile)(join(pluginDir, 'bridge'), { env, cwd: '/', signal, killSignal: 'SIGKILL' });
  // It may end before it has read.
  adding.child.stdin?.on('error', () => {});
  adding.child.stdin?.end(JSON.stringify(cniConfig(bridge, subnet, address)));
  const { stdout } = await adding.catch((error: Said) => {
    const reason = messageIn(error.stdout ?? '') || oneLine(error.stderr ?? '') || oneLine(error.message);
    const advice = /exchange full/i.test(reason)
      ? 'the bridge has no port left: an interface holds at most 1023 instances'
      : reason;
    throw new Error(`cannot connect it to its network: ${advice}`, { cause: error });
  });
  const port = /"(veth[0-9a-z]+)"/.exec(stdout)?.[1] ?? '';
  // Ports of a bridge that are isolated reach only the host.
  await writeFile(`/sys/class/net/${port}/brport/isolated`, '1');
  return port;
}

/** What `execFile` rejects with. */
type Said = Error & { readonly stdout?: string; readonly stderr?: string };

/** What a CNI plugin says of its failure. */
function messageIn(result: string): string {
  try {
    const { msg, details } = JSON.parse(result) as { msg?: unknown; details?: unknown };
    return oneLine([msg, details].filter((text) => typeof text === 'string' && text !== '').join('; '));
  } catch {
    return '';
  }
}
