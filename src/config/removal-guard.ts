import { join } from 'node:path';
import { glob } from './glob.js';

/** An app that earlier files held, or these do. */
export interface Placed {
  readonly name: string;
  /** Absent in records of earlier versions. */
  readonly file?: string | undefined;
}

export interface Removals {
  readonly missing: readonly Placed[];
  /** In the files, or held. */
  readonly present: readonly Placed[];
  /** Absolute patterns of the app files. */
  readonly patterns: readonly string[];
  /** What the operator allows at once; absent: a few, and never all. */
  readonly max?: number | undefined;
}

const few = 5;
const share = 0.1;

/**
 * Why so many apps must not be removed though no file has them, in words; undefined if they may. A directory that is not mounted
 * looks like one whose apps were all deleted, and containers of customers end by it.
 */
export function removalFault({ missing, present, patterns, max }: Removals): string | undefined {
  if (missing.length === 0) return undefined;
  const all = missing.length + present.length;
  const says = `${missing.length} of ${all} apps are in no file any more`;
  const remedy = `nothing was removed; if they are meant to go, write maxRemovals: ${missing.length} in the main file, and take it out again`;
  if (max !== undefined) return missing.length > max ? `${says}, maxRemovals allows ${max}; ${remedy}` : undefined;
  const emptied = patterns
    .flatMap((pattern) => glob([pattern], '/').roots)
    .find(({ directory }) => has(missing, directory) && !has(present, directory));
  if (emptied) return `${says}, none is left in ${emptied.directory}: is it mounted? ${remedy}`;
  if (present.length === 0) return `${says}: do the patterns of apps match the right directory? ${remedy}`;
  return missing.length > Math.max(few, all * share) ? `${says}; ${remedy}` : undefined;
}

function has(apps: readonly Placed[], directory: string): boolean {
  const below = join(directory, '/');
  return apps.some(({ file }) => file?.startsWith(below) === true);
}
