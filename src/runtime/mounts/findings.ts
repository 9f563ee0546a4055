import type { App } from '../../model/app.js';
import { type MountOptions, mountPolicy, mountsFault, nestedAdvice, nestedIn, writableIn } from './mount-policy.js';
import { sourcesFault } from './mount-source.js';

/** Problems of these apps' mounts, each with its app, and warnings. */
export async function mountFindings(
  apps: readonly App[],
  options: MountOptions & { readonly isRemote: boolean },
): Promise<{ problems: string[]; warnings: string[] }> {
  const policy = mountPolicy(options);
  const mounting = apps.filter(({ runtime, mounts }) => runtime !== 'process' && mounts.length > 0);
  const writable = writableIn(mounting.flatMap(({ mounts }) => mounts));
  const problems: string[] = [];
  for (const { name, mounts, runtime } of mounting) {
    const fault =
      mountsFault(mounts, policy) ??
      inWritable(mounts, writable) ??
      (options.isRemote && runtime === 'docker' ? undefined : await sourcesFault(mounts));
    if (fault !== undefined) problems.push(`app ${name}: ${fault}`);
  }
  const asRoot = mounting.filter(
    ({ runtime, user, mounts }) =>
      runtime === 'docker' && user === undefined && mounts.some(({ readOnly }) => !readOnly),
  );
  const asRootOfHost = mounting.filter(
    ({ runtime, user = '', mounts }) =>
      runtime === 'oci' && /^(root|0)(:|$)/.test(user) && mounts.some(({ readOnly }) => !readOnly),
  );
  const warnings = [
    ...(mounting.length > 0 && policy.roots === undefined
      ? [
          'mounts.roots is not set: app files may name nearly any directory of the host as a mount; write for instance mounts: { roots: [/srv] }',
        ]
      : []),
    ...asRootOfHost.map(
      ({ name }) =>
        `app ${name}: it runs as root and has a writable mount, where it is root of the host; name another \`user\``,
    ),
    ...asRoot.map(
      ({ name }) =>
        `app ${name}: a writable mount and no \`user\`: an image that runs as root writes there as root of the host; set \`user\`, or let the engine map users (userns-remap)`,
    ),
  ];
  return { problems, warnings };
}

function inWritable(mounts: App['mounts'], writable: ReadonlySet<string>): string | undefined {
  const nested = nestedIn(writable, mounts);
  return nested && `mount source ${nested.source} is in ${nested.outer}, another app's mount: ${nestedAdvice}`;
}
