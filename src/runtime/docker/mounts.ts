import type { App } from '../../model/app.js';
import type { Engine } from './engine.js';
import { labels } from './labels.js';
import {
  type MountOptions,
  mountPolicy,
  mountsFault,
  nestedAdvice,
  nestedFault,
  nestedIn,
  writableIn,
} from '../mounts/mount-policy.js';
import { sourceFault } from '../mounts/mount-source.js';
import { at, idAt, listAt, textAt } from './reply.js';

/** Problems of these apps' mounts, each with its app, and warnings. */
export async function mountFindings(
  apps: readonly App[],
  options: MountOptions & { readonly isRemote: boolean },
): Promise<{ problems: string[]; warnings: string[] }> {
  const policy = mountPolicy(options);
  const mounting = apps.filter(({ runtime, mounts }) => runtime === 'docker' && mounts.length > 0);
  const writable = writableIn(mounting.flatMap(({ mounts }) => mounts));
  const problems: string[] = [];
  for (const { name, mounts } of mounting) {
    const fault =
      mountsFault(mounts, policy) ??
      inWritable(mounts, writable) ??
      (options.isRemote ? undefined : await sourcesFault(mounts));
    if (fault !== undefined) problems.push(`app ${name}: ${fault}`);
  }
  const asRoot = mounting.filter(({ user, mounts }) => user === undefined && mounts.some(({ readOnly }) => !readOnly));
  const warnings = [
    ...(mounting.length > 0 && policy.roots === undefined
      ? [
          'mounts.roots is not set: app files may name nearly any directory of the host as a mount; write for instance mounts: { roots: [/srv] }',
        ]
      : []),
    ...asRoot.map(
      ({ name }) =>
        `app ${name}: a writable mount and no \`user\`: an image that runs as root writes there as root of the host; set \`user\`, or let the engine map users (userns-remap)`,
    ),
  ];
  return { problems, warnings };
}

/**
 * Throws if a created container must not start with its mounts: a source may have been replaced since, or this container and another,
 * created or running, could replace each other's sources.
 */
export async function checkMounts(engine: Engine, app: App, containerId: string, isRemote: boolean): Promise<void> {
  if (app.mounts.length === 0) return;
  const fault =
    (isRemote ? undefined : await sourcesFault(app.mounts)) ??
    nestedFault(app.mounts, await othersMounts(engine, containerId), "another app's mount");
  if (fault !== undefined) throw new Error(`app ${app.name}: ${fault}`);
}

function inWritable(mounts: App['mounts'], writable: ReadonlySet<string>): string | undefined {
  const nested = nestedIn(writable, mounts);
  return nested && `mount source ${nested.source} is in ${nested.outer}, another app's mount: ${nestedAdvice}`;
}

async function sourcesFault(mounts: App['mounts']): Promise<string | undefined> {
  for (const { source } of mounts) {
    const fault = await sourceFault(source);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

/** Mounts of all other containers of this product on the engine, of any installation. */
async function othersMounts(engine: Engine, containerId: string): Promise<{ source: string; readOnly: boolean }[]> {
  const query = { all: true, filters: { label: [labels.instance] } };
  const options = { limitMs: 10_000, maxBytes: 256 * 1024 * 1024 };
  const entries = await engine.json('list the mounts of containers', { path: ['containers', 'json'], query }, options);
  if (!Array.isArray(entries)) throw new Error(`Docker Engine at ${engine.where} did not list its containers`);
  return entries
    .filter((entry: unknown) => idAt(entry, 'Id') !== containerId && textAt(entry, 'State') !== 'exited')
    .flatMap((entry: unknown) => listAt(entry, 'Mounts'))
    .filter((mount) => textAt(mount, 'Type') === 'bind')
    .map((mount) => ({ source: textAt(mount, 'Source') ?? '/', readOnly: at(mount, 'RW') === false }));
}
