import type { App } from './app.js';
import { isUntaken } from './asked-boot.js';
import { type BootClaim, claimBoot, confirmGone, type Deployment, startDrain, withInstance } from './deployment.js';
import { type Instance, isSuspended } from './instance.js';
import { startResume } from './suspension.js';

/** An operator wakes the app: unless an instance is ready or about to be, resumes a paused one or claims a boot, whatever back-off there is. */
export function wake(deployment: Deployment, app: App, claim: BootClaim, now: number): Deployment {
  if (deployment.instances.some(isUp)) return deployment;
  const sleeping = deployment.instances.find(({ state }) => state === 'paused');
  if (sleeping) return startResume(deployment, sleeping.id, {}, now);
  return claimBoot(deployment, app, { ...claim, cause: 'operator' }, now);
}

/** Whether an instance is ready, or is resumed or boots and may become so. */
export function isUp({ state, end }: Instance): boolean {
  return state === 'ready' || state === 'resuming' || (state === 'booting' && end === undefined);
}

/** An operator takes the ready and suspended instances out of service: they end when their requests have. */
export function drainInstances(deployment: Deployment, now: number): Deployment {
  return deployment.instances.reduce((next, { id }) => startDrain(next, id, 'stopped', now), deployment);
}

/** An operator ends all instances: ready ones drain, and the owners of boots break these off. */
export function stopInstances(deployment: Deployment, now: number): Deployment {
  return deployment.instances.reduce(
    (next, instance) => {
      const { id, state, end } = instance;
      if (isUntaken(instance)) return confirmGone(next, id);
      if (state !== 'booting' || end) return next;
      return withInstance(next, id, (booting) => ({ ...booting, end: { reason: 'stopped', since: now } }));
    },
    drainInstances(deployment, now),
  );
}

/** An operator wants fresh instances in the place of the ready ones, one after the other, and without a back-off; suspended ones end. */
export function restartInstances(deployment: Deployment, now: number): Deployment {
  const { failedRevision } = deployment;
  const ready = deployment.instances.filter(({ state }) => state === 'ready');
  const marked = ready.reduce(
    (next, { id }) => withInstance(next, id, (old) => ({ ...old, restartAt: now })),
    deployment.instances.filter(isSuspended).reduce((next, { id }) => startDrain(next, id, 'restart', now), deployment),
  );
  return failedRevision && ready.length > 0
    ? { ...marked, failedRevision: { ...failedRevision, retryAt: now } }
    : marked;
}
