import { join } from 'node:path';
import { glob } from './glob.js';
import type { PastRemoval } from './manifest.js';
import type { HeldApp } from './reading.js';

export interface Removals {
  /** Apps that earlier files held and no file holds now. */
  readonly missing: readonly HeldApp[];
  /** All others: in the files, or held. */
  readonly present: readonly HeldApp[];
  /** Absolute patterns of the app files. */
  readonly patterns: readonly string[];
  /** What the operator allows (maxRemovals); absent: a few, and never all. */
  readonly max?: number | undefined;
  /** What was removed within the hour: many small steps count as one large one. */
  readonly past?: readonly PastRemoval[];
}

const few = 5;
const share = 0.1;
const togetherMs = 3_600_000;

/** Those of the last hour, which count together with the next one. A clock that was set back forgets none. */
export function recentRemovals(past: readonly PastRemoval[], now: number): readonly PastRemoval[] {
  return past.filter(({ at }) => now - at < togetherMs);
}

/**
 * Why these apps must not be removed, in words; undefined if they may. A directory that is not mounted looks like one whose apps
 * were all deleted, and removing them ends their containers.
 */
export function removalFault({ missing, present, patterns, max, past = [] }: Removals): string | undefined {
  if (missing.length === 0) return undefined;
  // What the operator allowed counts against maxRemovals only.
  const counted = past.filter(({ wasAllowed }) => max !== undefined || !wasAllowed);
  const before = counted.reduce((sum, { count }) => sum + count, 0);
  const all = before + missing.length + present.length;
  const lately = before === 0 ? '' : `, ${before} more were removed within the hour`;
  const says = `${missing.length} of ${all} apps are no longer in any file${lately}`;
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

function has(apps: readonly HeldApp[], directory: string): boolean {
  const below = join(directory, '/');
  return apps.some(({ file }) => file.startsWith(below));
}
