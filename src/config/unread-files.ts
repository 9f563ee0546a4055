import { readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { nearest } from './nearest.js';
import { showFile } from './path.js';

/** A pattern of app files, and what was found by it. */
export interface Looked {
  /** As it is written. */
  readonly pattern: string;
  /** Absolute directories in which matches lie. */
  readonly directories: readonly string[];
  /** Files that match. */
  readonly count: number;
}

/** A notice if the pattern matches nothing, with the probable mistake. Blocks. */
export function unmatchedNotice({ pattern, directories, count }: Looked): string | undefined {
  if (count > 0) return undefined;
  const missing = directories.find((directory) => entriesOf(directory) === undefined);
  const why = missing === undefined ? '' : `: ${absence(missing)}`;
  return `apps: no file matches ${pattern}${why}`;
}

/** A notice of files that no pattern matches because they end in `.yml` and not in `.yaml`, or the other way round. */
export function unreadNotice(files: readonly string[]): string | undefined {
  const [first] = files;
  if (first === undefined) return undefined;
  const shown = files.slice(0, 3).map(showFile).join(', ');
  const more = files.length > 3 ? ` and ${files.length - 3} more` : '';
  const verb = files.length === 1 ? 'is' : 'are';
  return `apps: ${shown}${more} ${verb} not read; write a pattern such as *.{yaml,yml}, or rename them`;
}

/** Names the topmost missing directory, and an existing one with a similar name. */
function absence(directory: string): string {
  let at = directory;
  while (at !== dirname(at) && entriesOf(dirname(at)) === undefined) at = dirname(at);
  const parent = dirname(at);
  const meant = nearest(basename(at), entriesOf(parent) ?? []);
  const instead = meant === undefined ? '' : `; did you mean ${showFile(join(parent, meant))}?`;
  return `there is no directory ${showFile(at)}${instead}`;
}

function entriesOf(directory: string): string[] | undefined {
  try {
    return readdirSync(directory);
  } catch (error) {
    // It exists but cannot be listed, which is reported as a problem.
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? undefined : [];
  }
}
