import { availableParallelism } from 'node:os';
import type { Config } from '../../config/config.js';
import type { Findings } from './host-check.js';

/** Whether the number of workers suits this machine and `boot.concurrency`. */
export function checkWorkers({ workers, boot }: Config, cores: number = availableParallelism()): Findings {
  const warnings = [
    ...(workers > cores
      ? [`workers: ${workers} processes on ${cores} processor cores; auto is one for each core`]
      : []),
    ...(workers > boot.concurrency
      ? [`boot.concurrency: ${boot.concurrency} divided among ${workers} workers; each may boot one at a time`]
      : []),
  ];
  return { problems: [], warnings };
}
