import { realpathSync, type Stats, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { textOf } from './text-of.js';

/** A file or directory through which other users can change a path. */
export interface OpenPlace {
  readonly path: string;
  /** What is wrong with it, and the command to run. */
  readonly fault: string;
}

const sticky = 0o1000;

/**
 * Finds paths that other users can change, as sshd does: only root and this process's user may own, or write to, a file and the
 * directories above it. Of a missing path the existing directories above it count. An object remembers what it has seen.
 */
export class WritableByOthers {
  readonly #me = process.geteuid?.() ?? 0;
  readonly #seen = new Map<string, string | undefined>();
  #ownGroups: ReadonlySet<number> | undefined;

  /** What is wrong on the way to a path, both as written and with its links resolved. */
  on(path: string): OpenPlace[] {
    const places = new Map<string, string>();
    for (const start of new Set([resolve(path), realPath(path)])) {
      for (let at = start; ; at = dirname(at)) {
        const stats = statsOf(at);
        // In a sticky directory like /tmp nobody can remove our entries, and the entries of others are found themselves.
        const isShared = at !== start && stats !== undefined && (stats.mode & sticky) !== 0 && this.#isOurs(stats);
        const fault = isShared ? undefined : this.#faultOf(at, stats);
        if (fault !== undefined) places.set(at, fault);
        if (at === dirname(at)) break;
      }
    }
    return [...places].map(([at, fault]) => ({ path: at, fault }));
  }

  #isOurs({ uid }: Stats): boolean {
    return uid === 0 || uid === this.#me;
  }

  #faultOf(path: string, stats: Stats | undefined): string | undefined {
    if (!this.#seen.has(path)) this.#seen.set(path, stats && this.#look(path, stats));
    return this.#seen.get(path);
  }

  #look(path: string, stats: Stats): string | undefined {
    const { mode, uid, gid } = stats;
    if (!this.#isOurs(stats)) return `it belongs to user ${uid}; run: chown ${this.#me} ${path}`;
    const shown = (mode & 0o7777).toString(8).padStart(4, '0');
    if ((mode & 0o002) !== 0) return `everybody may write to it (mode ${shown}); run: chmod go-w ${path}`;
    if ((mode & 0o020) === 0 || this.#isOwnGroup(gid)) return undefined;
    return `its group ${gid} may write to it (mode ${shown}); run: chmod g-w ${path}`;
  }

  /** Root's group, and a group with this user as its only member, which many systems make for each user. */
  #isOwnGroup(gid: number): boolean {
    this.#ownGroups ??= new Set([0, ...ownGroup(this.#me)]);
    return this.#ownGroups.has(gid);
  }
}

function ownGroup(me: number): number[] {
  const gid = process.getegid?.();
  if (gid === undefined) return [];
  const others = linesOf('/etc/passwd').filter(([, , uid, theirs]) => theirs === String(gid) && uid !== String(me));
  const members = linesOf('/etc/group').find(([, , id]) => id === String(gid))?.[3] ?? '';
  const mine = linesOf('/etc/passwd').find(([, , uid]) => uid === String(me))?.[0];
  const isAlone = others.length === 0 && members.split(',').every((name) => name === '' || name === mine);
  return isAlone ? [gid] : [];
}

function linesOf(file: string): string[][] {
  return textOf(file)
    .split('\n')
    .map((line) => line.trim().split(':'));
}

function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return resolve(path);
  }
}

function statsOf(path: string): Stats | undefined {
  try {
    return statSync(path);
  } catch {
    return undefined;
  }
}
