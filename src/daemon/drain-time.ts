import type { Config } from '../config/config.js';

/** How long requests under way may take to finish when a process ends. */
export function longestDrainMs({ apps }: Config): number {
  return apps.reduce((longest, { drainTimeoutMs }) => Math.max(longest, drainTimeoutMs), defaultDrainMs);
}

/** Where no app says more. */
const defaultDrainMs = 1_000;
