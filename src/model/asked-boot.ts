import type { App } from './app.js';
import {
  appToBoot,
  askLimitMs,
  type BootClaim,
  bootDeadlineMs,
  bootRefused,
  type Deployment,
  findInstance,
  madeOf,
  withInstance,
} from './deployment.js';
import type { Instance } from './instance.js';

/** Whether it is a claim that no node of its host has taken up yet, so that nothing of it runs. */
export function isUntaken({ state, owner }: Pick<Instance, 'state' | 'owner'>): boolean {
  return state === 'booting' && owner === undefined;
}

/** A node of its host takes up a claim. Unchanged if another node was first, or the claim is gone. */
export function takeBoot(
  deployment: Deployment,
  app: App,
  id: string,
  claim: Required<Pick<BootClaim, 'host' | 'owner'>> & Pick<BootClaim, 'runtimeIds'>,
  now: number,
): Deployment {
  const instance = findInstance(deployment, id);
  if (!instance || !isUntaken(instance) || instance.host !== claim.host) return deployment;
  const { owner, runtimeIds } = claim;
  const made = madeOf(appToBoot(deployment, app, instance.replaces, now), runtimeIds);
  return withInstance(deployment, id, (asked) => ({
    ...asked,
    ...made,
    ...{ owner, deadlineAt: now + bootDeadlineMs(app), bootedAt: now },
  }));
}

/** No node of its host took it up: frees the claim with a failure. Unchanged if one did. */
export function bootNotTaken(deployment: Deployment, id: string, now: number): Deployment {
  const instance = findInstance(deployment, id);
  if (!instance || !isUntaken(instance)) return deployment;
  const why = deployment.pinnedTo?.host === instance.host ? ', which the app is pinned to,' : '';
  const message = `no dispatcher of ${instance.host}${why} took up its boot within ${askLimitMs} ms`;
  return bootRefused(deployment, id, { code: 'boot_failed', message }, now);
}
