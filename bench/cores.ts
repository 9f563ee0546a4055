import { spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';

/** Where programs run: what is measured on a core of its own, everything else on another. */
export interface Cores {
  /** False where there is one core only, or no taskset. */
  readonly apart: boolean;
  /** The words that put a command on a core; none where they cannot be told apart. */
  readonly subject: readonly string[];
  readonly others: readonly string[];
}

export function findCores(): Cores {
  const apart = availableParallelism() > 1 && spawnSync('taskset', ['-c', '1', 'true']).status === 0;
  if (!apart) return { apart, subject: [], others: [] };
  return { apart, subject: ['taskset', '-c', '1'], others: ['taskset', '-c', '0'] };
}
