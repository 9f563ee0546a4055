import { lstatSync, realpathSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Places } from '../reading.js';

export interface Sighting {
  /** The main file and other files that may be symbolic links. */
  readonly links: readonly string[];
  /** Where files may appear; what does not exist stands for the nearest directory above it. */
  readonly directories: readonly string[];
  readonly patterns: readonly string[];
}

/** The directories in which a change of these files shows, those that symbolic links lead through among them. Blocks. */
export function placesOf({ links, directories, patterns }: Sighting): Places {
  const isLink = linkFinder();
  const wanted = new Set<string>();
  const add = (path: string): void => {
    if (wanted.has(path)) return;
    wanted.add(path);
    // Where links on the way lie, they are swapped.
    for (let at = path; at !== dirname(at); at = dirname(at)) if (isLink(at)) wanted.add(dirname(at));
  };
  for (const directory of directories) add(nearestExisting(directory));
  const targets = links.flatMap((link) => {
    const target = realPath(link);
    return target === undefined || target === link ? [] : [target];
  });
  for (const path of [...links, ...targets]) add(nearestExisting(dirname(path)));
  return { patterns, targets, directories: [...wanted].flatMap(keyed) };
}

function keyed(path: string): [string, string][] {
  const stats = statSync(path, { throwIfNoEntry: false });
  return stats ? [[`${path} ${stats.dev}:${stats.ino}`, path]] : [];
}

function nearestExisting(path: string): string {
  for (let at = path; ; at = dirname(at)) if (at === dirname(at) || isDirectory(at)) return at;
}

function isDirectory(path: string): boolean {
  return attempt(() => statSync(path, { throwIfNoEntry: false })?.isDirectory()) === true;
}

function realPath(file: string): string | undefined {
  return attempt(() => realpathSync(file));
}

/** Asks for each path once. */
function linkFinder(): (path: string) => boolean {
  const seen = new Map<string, boolean>();
  return (path) => {
    const known = seen.get(path);
    if (known !== undefined) return known;
    const isLink = attempt(() => lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink()) === true;
    seen.set(path, isLink);
    return isLink;
  };
}

/** Undefined where it throws: a part of the way is a file, or may not be looked at. */
function attempt<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch {
    return undefined;
  }
}
