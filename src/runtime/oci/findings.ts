import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { messageOf } from '../output/printable.js';
import { ociImage } from '../../model/oci-image.js';
import { textOf } from '../../machine/text-of.js';
import { foreignBridge, overlap } from './network.js';
import { usualPath } from './command.js';

export interface OciHostOptions {
  readonly program: string;
  readonly pluginDir: string;
  readonly bridge: string;
  readonly subnet: string;
  readonly hostRules: 'auto' | 'off';
  readonly stateDir: string;
}

const limitMs = 10_000;
const folders = usualPath.split(':');
const needed = { ip: 'iproute2', unshare: 'util-linux', nsenter: 'util-linux', mount: 'mount' };
/** What fetches images that have a configuration of their own. */
const toolsOfImages = { skopeo: 'skopeo', umoci: 'umoci', flock: 'util-linux', setpriv: 'util-linux' };

/** Why this host cannot run containers of the oci runtime, and what to do; empty if no obstacle is known. Changes nothing. */
export async function ociObstacles({
  program,
  pluginDir,
  bridge,
  subnet,
  hostRules,
}: Omit<OciHostOptions, 'stateDir'>): Promise<string[]> {
  const tools = { ...needed, ...(hostRules === 'off' ? {} : { 'iptables-restore': 'iptables' }) };
  const plugins = ['bridge', 'static'].filter((name) => !existsSync(join(pluginDir, name)));
  return [
    ...(process.geteuid?.() === 0 ? [] : ['only root can make containers, and the daemon is not root']),
    ...[await programFault(program)].filter((fault) => fault !== undefined),
    ...missingOf(tools),
    ...(plugins.length === 0
      ? []
      : [
          `the CNI plugins ${plugins.join(' and ')} are not in ${pluginDir} (Debian: apt-get install containernetworking-plugins); ` +
            'install them, or correct runtimes.oci.pluginDir',
        ]),
    ...[overlap(bridge, subnet)].filter((fault) => fault !== undefined),
  ];
}

/** What keeps apps of the oci runtime from running on this host, and what is unsafe about it. */
export async function ociFindings(
  options: OciHostOptions,
  images: readonly (string | undefined)[],
): Promise<{ problems: string[]; warnings: string[] }> {
  const { hostRules } = options;
  const needsFetching = images.some((image) => ociImage(image)?.kind === 'packed');
  const hasOverlay = textOf('/proc/filesystems').includes('overlay') || existsSync('/sys/module/overlay');
  return {
    problems: [
      ...(await ociObstacles(options)),
      ...[foreignBridge(options.bridge, textOf(join(options.stateDir, 'id')).trim())].filter(
        (fault) => fault !== undefined,
      ),
      ...(needsFetching ? missingOf(toolsOfImages) : []),
    ],
    warnings: [
      ...(hostRules === 'off'
        ? [
            'runtimes.oci.hostRules is off: rules of your own have to keep containers from each other, from the services of this host and from ' +
              'cloud metadata (169.254.169.254), and to let them out',
          ]
        : []),
      ...(hasOverlay ? [] : ['the kernel does not list overlayfs, which images need: modprobe overlay']),
    ],
  };
}

function isThere(name: string): boolean {
  return folders.some((folder) => existsSync(join(folder, name)));
}

function missingOf(tools: Readonly<Record<string, string>>): string[] {
  const missing = Object.entries(tools).filter(([name]) => !isThere(name));
  return missing.map(([name, packageName]) => `${name} is not installed (Debian: apt-get install ${packageName})`);
}

async function programFault(program: string): Promise<string | undefined> {
  try {
    await promisify(execFile)(program, ['--version'], {
      timeout: limitMs,
      killSignal: 'SIGKILL',
      env: { PATH: folders.join(':') },
    });
    return undefined;
  } catch (error) {
    const { code, killed } = error as NodeJS.ErrnoException & { killed?: boolean };
    if (code === 'ENOENT') {
      const others = ['runc', 'crun', 'youki'].filter((name) => name !== program && isThere(name));
      const hint = others.map(
        (name) => `; ${name} is here: runtimes.oci.program: ${name}${name === 'runc' ? '' : ' (not tested)'}`,
      );
      return `${program} is not installed (Debian: apt-get install runc); install it, or correct runtimes.oci.program${hint.join('')}`;
    }
    return `${program} --version ${killed === true ? `does not end within ${limitMs / 1_000} s` : `fails: ${messageOf(error)}`}`;
  }
}
