import type { App } from './app.js';
import type { Deployment } from './deployment.js';
import type { Instance } from './instance.js';

/**
 * When the reaper must look at this deployment next, in epoch milliseconds; undefined where it has no instances.
 * `app` is undefined where its record is gone or unreadable: then it is due at once.
 */
export function nextDueAt(deployment: Deployment, app: App | undefined): number | undefined {
  if (deployment.instances.length === 0) return undefined;
  if (!app) return 0;
  const deadlines = deployment.instances.map((instance) => instanceDueAt(instance, app));
  const surplus = deployment.instances.filter(({ state }) => state === 'ready').length > app.scale.min;
  const idle = surplus ? deployment.instances.map((instance) => idleAt(instance, app)) : [];
  return Math.min(...deadlines, ...idle);
}

/** When an instance that nobody uses has been idle for its TTL; Infinity while it is used. */
export function idleAt(instance: Instance, app: App): number {
  if (instance.state !== 'ready') return Infinity;
  const users = Object.values(instance.users);
  if (users.some((user) => user.quietSince === undefined)) return Infinity;
  const lastActiveAt = Math.max(instance.lastActiveAt, ...users.map((user) => user.quietSince ?? 0));
  return lastActiveAt + app.idleTtlMs;
}

/** When an instance has lived its maximum lifetime. */
export function expiresAt(instance: Instance, app: App): number {
  return (instance.readyAt ?? instance.bootedAt) + app.maxLifetimeMs;
}

function instanceDueAt(instance: Instance, app: App): number {
  switch (instance.state) {
    case 'ready':
    case 'paused':
      return expiresAt(instance, app);
    case 'draining':
      return Object.keys(instance.users).length === 0 ? 0 : (instance.end?.since ?? 0) + app.drainTimeoutMs;
    case 'booting':
    case 'pausing':
    case 'resuming':
    case 'terminating':
      return instance.deadlineAt ?? 0;
  }
}
