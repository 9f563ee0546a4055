import { dirname, normalize } from 'node:path';
import type { Mount } from '../../model/app.js';

/** The settings for the directories of the host that apps may mount. */
export interface MountOptions {
  /** `mounts.roots`; if undefined, all directories but the reserved ones. */
  readonly roots: readonly string[] | undefined;
  /** The daemon's own paths: its state, its store, its files, the engine's socket. */
  readonly own: readonly string[];
}

export interface MountPolicy {
  readonly roots: readonly string[] | undefined;
  /** The reserved path that this path is, lies in, or contains; undefined if there is none. */
  reservedAt(path: string): string | undefined;
}

export function mountPolicy({ roots, own }: MountOptions): MountPolicy {
  const reserved = new Set([...system, ...own.map((path) => withoutAlias(clean(path)))]);
  const held = new Map([...reserved].flatMap((path) => ancestorsOf(path).map((above) => [above, path] as const)));
  return {
    roots: roots?.map(clean),
    reservedAt: (path) => [path, ...ancestorsOf(path)].find((each) => reserved.has(each)) ?? held.get(path),
  };
}

/** Paths of the system: access to one of them gives control over the host. */
const system = [
  ...['/bin', '/boot', '/dev', '/etc', '/lib', '/lib32', '/lib64', '/proc', '/root', '/sbin', '/sys', '/usr'],
  ...['/run/docker.sock', '/run/containerd', '/run/systemd', '/run/dbus'],
  ...['/var/lib/containerd', '/var/lib/docker', '/var/lib/systemd', '/var/spool/cron'],
];

/** Why an app may not mount these sources; undefined if it may. Checks only names. */
export function mountsFault(mounts: readonly Mount[], policy: MountPolicy): string | undefined {
  for (const { source } of mounts) {
    const fault = sourceFault(clean(source), policy);
    if (fault !== undefined) return fault;
  }
  return nestedFault(mounts, mounts, 'another of its own mounts');
}

function sourceFault(source: string, { roots, reservedAt }: MountPolicy): string | undefined {
  if (roots?.includes(source)) return undefined;
  const path = withoutAlias(source);
  const touched = reservedAt(path);
  if (touched !== undefined) {
    const how =
      path === touched
        ? 'is not'
        : isWithin(path, touched)
          ? `is in ${touched}, which is not`
          : `holds ${touched}, which is not`;
    return `mount source ${source} ${how} for apps; if it is meant, list exactly this path in mounts.roots`;
  }
  if (roots === undefined || roots.some((root) => isWithin(source, root))) return undefined;
  return `mount source ${source} is in none of mounts.roots (${roots.join(', ') || 'none'})`;
}

/**
 * Why these mounts conflict with others; undefined if they do not. Inside a writable mount an app could replace the source of another
 * mount with a symbolic link, which the engine would follow.
 */
export function nestedFault(
  mounts: readonly Mount[],
  others: readonly Pick<Mount, 'source' | 'readOnly'>[],
  whose: string,
): string | undefined {
  const [inner, outer] = [nestedIn(writableIn(others), mounts), nestedIn(writableIn(mounts), others)];
  if (inner) return `mount source ${inner.source} is in ${inner.outer}, ${whose}: ${nestedAdvice}`;
  if (outer) return `mount source ${outer.outer} holds ${outer.source}, ${whose}: ${nestedAdvice}`;
  return undefined;
}

export const nestedAdvice =
  'an app that can write to the outer one could replace the inner one with a link to anywhere; ' +
  'mount directories side by side, or the outer one readOnly';

/** The first of these sources that lies in one of the directories, and that directory. */
export function nestedIn(
  directories: ReadonlySet<string>,
  mounts: readonly Pick<Mount, 'source'>[],
): { readonly source: string; readonly outer: string } | undefined {
  for (const { source } of mounts) {
    const outer = ancestorsOf(clean(source)).find((each) => directories.has(each));
    if (outer !== undefined) return { source, outer };
  }
  return undefined;
}

/** The sources that apps can write to. */
export function writableIn(mounts: readonly Pick<Mount, 'source' | 'readOnly'>[]): Set<string> {
  return new Set(mounts.filter(({ readOnly }) => !readOnly).map(({ source }) => clean(source)));
}

/** The directories above a path, the root first. */
export function ancestorsOf(path: string): string[] {
  const parent = dirname(path);
  return parent === path ? [] : [...ancestorsOf(parent), parent];
}

/** Whether a path is a directory, or below it. */
export function isWithin(path: string, directory: string): boolean {
  const above = directory.replace(/\/+$/, '');
  return path === above || path.startsWith(`${above}/`);
}

function clean(path: string): string {
  const normal = normalize(path);
  return normal.length > 1 && normal.endsWith('/') ? normal.slice(0, -1) : normal;
}

/** Resolves /var/run, which is /run on all systems that run Docker today. */
function withoutAlias(path: string): string {
  return isWithin(path, '/var/run') ? path.slice('/var'.length) : path;
}
