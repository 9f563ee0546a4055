import { realpathSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Places } from '../reading.js';
import { isLink } from './read-text.js';

export interface Sighting {
  /** The main file and other files that may be symbolic links. */
  readonly links: readonly string[];
  /** In which files may appear; for one that does not exist, the nearest directory above it is watched. */
  readonly directories: readonly string[];
  readonly patterns: readonly string[];
}

/** The directories in which a change of these files shows, also those that hold a symbolic link on the way to one. Blocks. */
export function placesOf({ links, directories, patterns }: Sighting): Places {
  const wanted = new Set<string>();
  const climbed = new Set<string>();
  const add = (path: string): void => {
    wanted.add(path);
    // A link on the way may be replaced by another one.
    for (let at = path; at !== dirname(at) && !climbed.has(at); at = dirname(at)) {
      climbed.add(at);
      if (isLink(at)) wanted.add(dirname(at));
    }
  };
  for (const directory of directories) add(nearestExisting(directory));
  const targets = links.flatMap((link) => {
    const target = attempt(() => realpathSync(link));
    return target === undefined || target === link ? [] : [target];
  });
  for (const path of [...links, ...targets]) add(nearestExisting(dirname(path)));
  return { patterns, targets, directories: [...wanted].flatMap(keyed) };
}

function keyed(path: string): [string, string][] {
  const stats = attempt(() => statSync(path));
  return stats ? [[`${path} ${stats.dev}:${stats.ino}`, path]] : [];
}

function nearestExisting(path: string): string {
  for (let at = path; ; at = dirname(at))
    if (at === dirname(at) || attempt(() => statSync(at).isDirectory()) === true) return at;
}

/** Undefined if it throws: there is nothing, or nothing that may be looked at. */
function attempt<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch {
    return undefined;
  }
}
