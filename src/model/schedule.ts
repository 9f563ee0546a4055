import type { App } from './app.js';
import type { Deployment } from './deployment.js';
import type { Instance } from './instance.js';
import { standsIn } from './last-good.js';
import { expiresAt, idleAt, outlivedAt } from './lifetime.js';
import { pausesAt } from './suspension.js';
import { needsSuccessor, upkeepDueAt } from './upkeep.js';

/**
 * When the reaper must look at this deployment next, in epoch milliseconds; undefined if it has no instances and needs none.
 * Without `app`, because its record is gone or unreadable, instances are due at once.
 */
export function nextDueAt(deployment: Deployment, app: App | undefined): number | undefined {
  const { instances } = deployment;
  if (!app) return instances.length === 0 ? undefined : 0;
  if (instances.length === 0 && app.scale.min === 0) return undefined;
  const surplus = instances.filter(({ state }) => state === 'ready').length > app.scale.min;
  const idle = instances.filter(({ state }) => surplus || state === 'paused').map((instance) => idleAt(instance, app));
  const pauses = instances.map((instance) => pausesAt(deployment, instance, app));
  const deadlines = instances.map((instance) => instanceDueAt(deployment, instance, app));
  return Math.min(...deadlines, ...idle, ...pauses, upkeepDueAt(deployment, app));
}

function instanceDueAt(deployment: Deployment, instance: Instance, app: App): number {
  switch (instance.state) {
    case 'ready':
    case 'paused':
      // One that needs a successor is due when that one may be booted.
      if (needsSuccessor(deployment, instance, app)) return Infinity;
      return standsIn(deployment, instance, app) ? expiresAt(instance, app) : outlivedAt(instance, app);
    case 'draining':
      return Object.keys(instance.users).length === 0 ? 0 : (instance.end?.since ?? 0) + app.drainTimeoutMs;
    case 'booting':
    case 'pausing':
    case 'resuming':
    case 'terminating':
      return instance.deadlineAt ?? 0;
  }
}
