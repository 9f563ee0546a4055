import { join } from 'node:path';
import { glob } from './glob.js';

/** An app that earlier files held, or these do. */
export interface Placed {
  readonly name: string;
  readonly file: string;
}

export interface Removals {
  readonly missing: readonly Placed[];
  /** In the files, or held. */
  readonly present: readonly Placed[];
  /** Absolute patterns of the app files. */
  readonly patterns: readonly string[];
  /** What the operator allows; absent: a few, and never all. */
  readonly max?: number | undefined;
  /** What went before: many small steps count as one large one. */
  readonly past?: readonly PastRemoval[];
  /** In epoch milliseconds. */
  readonly now?: number;
}

export interface PastRemoval {
  /** In epoch milliseconds. */
  readonly at: number;
  readonly count: number;
  /** The operator allowed it by `max`. */
  readonly wasAllowed?: true;
}

const few = 5;
const share = 0.1;
/** Removals that lie no further apart count together. */
const togetherMs = 3_600_000;

/** Those that count with what is to go now. A clock that was set back forgets none. */
export function recentRemovals(past: readonly PastRemoval[], now: number): readonly PastRemoval[] {
  return past.filter(({ at }) => now - at < togetherMs);
}

/**
 * Why so many apps must not be removed though no file has them, in words; undefined if they may. A directory that is not mounted
 * looks like one whose apps were all deleted, and containers of customers end by it.
 */
export function removalFault({ missing, present, patterns, max, past = [], now = 0 }: Removals): string | undefined {
  if (missing.length === 0) return undefined;
  // What was asked for does not count against what is not; what is asked for has a bound of its own.
  const counted = recentRemovals(past, now).filter(({ wasAllowed }) => max !== undefined || !wasAllowed);
  const before = counted.reduce((sum, { count }) => sum + count, 0);
  const all = before + missing.length + present.length;
  const lately = before === 0 ? '' : `, ${before} more were removed within the hour`;
  const says = `${missing.length} of ${all} apps are in no file any more${lately}`;
  const remedy = `nothing was removed; if they are meant to go, write maxRemovals: ${before + missing.length} in the main file, and take it out again`;
  if (max !== undefined)
    return before + missing.length > max ? `${says}, maxRemovals allows ${max}; ${remedy}` : undefined;
  const emptied = patterns
    .flatMap((pattern) => glob([pattern], '/').roots)
    .find((directory) => has(missing, directory) && !has(present, directory));
  if (emptied !== undefined) return `${says}, none is left in ${emptied}: is it mounted? ${remedy}`;
  if (present.length === 0) return `${says}: do the patterns of apps match the right directory? ${remedy}`;
  return before + missing.length > Math.max(few, all * share) ? `${says}; ${remedy}` : undefined;
}

function has(apps: readonly Placed[], directory: string): boolean {
  const below = join(directory, '/');
  return apps.some(({ file }) => file.startsWith(below));
}
