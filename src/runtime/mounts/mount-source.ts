import { lstat, readlink } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { Stats } from 'node:fs';
import type { Mount } from '../../model/app.js';
import { ancestorsOf } from './mount-policy.js';

const [sticky, groupWrites, othersWrite] = [0o1000, 0o020, 0o002];

/**
 * Why a mount's source could lead to another directory than its name says: the engine follows symbolic links when a container starts,
 * so only root and this user may be able to put one on its path. Undefined if all is well, or if the source does not exist here, which
 * the engine will find itself.
 */
export async function sourceFault(source: string): Promise<string | undefined> {
  const way = [...ancestorsOf(source), source];
  let parent: Stats | undefined;
  for (const path of way) {
    const found = await lstat(path).catch(() => undefined);
    if (found === undefined) return undefined;
    if (found.isSymbolicLink()) {
      const target = resolve(path, '..', await readlink(path).catch(() => ''));
      return `mount source ${source}: ${path} is a symbolic link to ${target}; name the directory itself`;
    }
    const fault = parent && replaceable(parent, found);
    if (fault !== undefined) {
      return (
        `mount source ${source}: the directory of ${path} ${fault}, who could put a link to anywhere into its place; ` +
        'let root own that directory, or mount the directory itself'
      );
    }
    parent = found;
  }
  return undefined;
}

/** `sourceFault` of the first of these mounts that has one. */
export async function sourcesFault(mounts: readonly Pick<Mount, 'source'>[]): Promise<string | undefined> {
  for (const { source } of mounts) {
    const fault = await sourceFault(source);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

/** Why other users may replace an entry of a directory; undefined if they may not. */
function replaceable(directory: Stats, entry: Stats): string | undefined {
  if (!isTrusted(directory.uid)) return `belongs to user ${directory.uid}`;
  // In a sticky directory such as /tmp only its owner can replace an entry.
  if ((directory.mode & sticky) !== 0 && isTrusted(entry.uid)) return undefined;
  if ((directory.mode & othersWrite) !== 0) return 'is writable for everybody';
  return (directory.mode & groupWrites) !== 0 && directory.gid !== 0
    ? `is writable for group ${directory.gid}`
    : undefined;
}

function isTrusted(uid: number): boolean {
  return uid === 0 || uid === process.geteuid?.();
}
