import type { App } from '../model/app.js';

/** How long requests under way may take to finish when a process ends. */
export function longestDrainMs(apps: readonly Pick<App, 'drainTimeoutMs'>[]): number {
  return apps.reduce((longest, { drainTimeoutMs }) => Math.max(longest, drainTimeoutMs), defaultDrainMs);
}

/** If no app says more. */
const defaultDrainMs = 1_000;
