import { mkdirSync, type Stats, statSync } from 'node:fs';

/**
 * Makes a directory that only this user can enter, for the files that decide what runs as which user. Throws an Error with the
 * command to run if it exists and other users can enter it.
 */
export function makePrivateDirectory(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
  const fault = faultOf(path, statSync(path));
  if (fault !== undefined) throw new Error(fault);
}

/** Why a directory is not private, and the command to run; undefined if it is, or if it does not exist yet. */
export function privateDirectoryFault(path: string): string | undefined {
  const stats = statsOf(path);
  return stats?.isDirectory() ? faultOf(path, stats) : undefined;
}

function statsOf(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}

function faultOf(path: string, { uid, mode }: Stats): string | undefined {
  const me = process.geteuid?.() ?? uid;
  if (uid !== me) return `${path} belongs to user ${uid}, not to the daemon's user ${me}; run: chown ${me} ${path}`;
  if ((mode & 0o077) === 0) return undefined;
  const shown = (mode & 0o777).toString(8).padStart(4, '0');
  return `${path} is open to other users (mode ${shown}); run: chmod 0700 ${path}`;
}
