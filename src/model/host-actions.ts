import { isUntaken } from './asked-boot.js';
import type { Deployment } from './deployment.js';
import type { Instance } from './instance.js';

/** Machines whose own nodes have something to do with this deployment at once, which no other node can do for them. */
export function hostsToAct({ instances }: Deployment): readonly string[] {
  return [
    ...new Set(instances.filter((instance) => isUntaken(instance) || isReleased(instance)).map(({ host }) => host)),
  ];
}

function isReleased({ state, users }: Instance): boolean {
  return state === 'draining' && Object.keys(users).length === 0;
}
