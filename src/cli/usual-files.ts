import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { WritableByOthers } from '../machine/writable-by-others.js';
import { Failure } from './exit-codes.js';
import { exampleFile } from './package-directory.js';

/** Where the main file is if no option names it, the first that is there; else the example of the package. */
export const usualFiles = ['fastcontainer.yaml', '/etc/fastcontainer/fastcontainer.yaml'] as const;

/**
 * The main file that counts without --config. Throws a Failure for one that others can change: it decides what runs as which user, and
 * a command may be run in a directory of somebody else.
 */
export function usualMainFile(places: readonly string[] = usualFiles): string {
  const found = places.map((file) => resolve(file)).find((file) => existsSync(file));
  if (found === undefined) return exampleFile;
  const [open] = new WritableByOthers().on(found);
  if (!open) return found;
  throw new Failure(
    1,
    `${found} is not taken by itself: of ${open.path}, ${open.fault}, or name the file with --config`,
  );
}
