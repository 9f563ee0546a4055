import type { Deployment } from './deployment.js';

/** Machines whose own nodes have something to do with this deployment at once, which no other node can do for them. */
export function hostsToAct({ instances }: Deployment): readonly string[] {
  const released = instances.filter(({ state, users }) => state === 'draining' && Object.keys(users).length === 0);
  return [...new Set(released.map(({ host }) => host))];
}
