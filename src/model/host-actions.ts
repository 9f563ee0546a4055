import { isUntaken } from './asked-boot.js';
import { isAsked } from './suspension.js';
import type { Deployment } from './deployment.js';
import type { Instance } from './instance.js';

/** Machines of which a node has to act on this deployment now, because no node of another machine can. */
export function hostsToAct({ instances }: Deployment): readonly string[] {
  return [...new Set(instances.filter(isForItsHost).map(({ host }) => host))];
}

/** Whether the next step is for a node of its machine: to boot, pause or resume it as it was asked to, or to end it. */
export function isForItsHost(instance: Instance): boolean {
  return isUntaken(instance) || isAsked(instance) || isReleased(instance);
}

/** Whether it drains and has no users. */
export function isReleased({ state, users }: Instance): boolean {
  return state === 'draining' && Object.keys(users).length === 0;
}
