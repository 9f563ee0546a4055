import type { App } from './app.js';
import { askLimitMs, type Deployment, disown, findInstance, move, startDrain, withInstance } from './deployment.js';
import type { Instance } from './instance.js';

/**
 * How long a node may take to pause or resume an instance before another one may settle it. Much longer than `beginLimitMs` and what a
 * runtime may take, so that nothing freezes it afterwards.
 */
const ownedLimitMs = 20_000;

/** Nothing is begun to be frozen later than this after it was written as pausing. */
const beginLimitMs = 5_000;

/** Who pauses or resumes an instance: the owner, which sees it; without one, a node of its host is asked to. */
export type Doer = Pick<Instance, 'owner' | 'askedBy'>;

/** When an instance is to be paused, in epoch milliseconds; Infinity while it is used or kept, or its app is never paused. */
export function pausesAt(deployment: Deployment, instance: Instance, app: App): number {
  if (app.pauseAfterMs === 0 || instance.state !== 'ready' || instance.unpausable) return Infinity;
  if (Object.keys(instance.users).length > 0) return Infinity;
  const { instances } = deployment;
  if (instances.filter(({ state }) => state === 'ready').length <= app.scale.min) return Infinity;
  if (instances.some(({ state, replaces }) => state === 'booting' && replaces?.id === instance.id)) return Infinity;
  return instance.lastActiveAt + app.pauseAfterMs;
}

/** Ready → pausing. From here on no node can begin to use it; whoever writes this has found it due, and no node uses it. */
export function startPause(deployment: Deployment, id: string, app: App, doer: Doer, now: number): Deployment {
  const instance = findInstance(deployment, id);
  if (!instance || now < pausesAt(deployment, instance, app)) return deployment;
  return withInstance(deployment, id, (ready) => owned(move(ready, 'pausing'), doer, now));
}

/** Whether its owner may still begin to freeze an instance: later, its runtime might do that after others have settled it. */
export function mayFreeze({ deadlineAt = 0 }: Instance, now: number): boolean {
  return now <= deadlineAt - ownedLimitMs + beginLimitMs;
}

/** Pausing → paused: its runtime has frozen it. Unchanged if its pause was settled meanwhile. */
export function paused(deployment: Deployment, id: string, owner: string): Deployment {
  const instance = findInstance(deployment, id);
  if (instance?.state !== 'pausing' || instance.owner !== owner) return deployment;
  return withInstance(deployment, id, (pausing) => disown(move(pausing, 'paused')));
}

/** Pausing → ready: it runs. `unpausable`: its runtime could not freeze it, and is not asked again. */
export function notPaused(deployment: Deployment, id: string, owner: string, unpausable: boolean): Deployment {
  const instance = findInstance(deployment, id);
  if (instance?.state !== 'pausing' || instance.owner !== owner) return deployment;
  return withInstance(deployment, id, (pausing) => ({
    ...disown(move(pausing, 'ready')),
    ...(unpausable ? { unpausable } : {}),
  }));
}

/** Paused → resuming. Unchanged if it is not paused. */
export function startResume(deployment: Deployment, id: string, doer: Doer, now: number): Deployment {
  if (findInstance(deployment, id)?.state !== 'paused') return deployment;
  return withInstance(deployment, id, (sleeping) => owned(move(sleeping, 'resuming'), doer, now));
}

/**
 * Resuming → ready: it runs, and the session that resumed it is its first user, so that it is not paused again before it is used.
 * That alone is no activity. Unchanged if it was settled meanwhile.
 */
export function resumed(
  deployment: Deployment,
  id: string,
  { owner, user }: { readonly owner: string; readonly user: string },
  now: number,
): Deployment {
  const instance = findInstance(deployment, id);
  if (instance?.state !== 'resuming' || instance.owner !== owner) return deployment;
  return withInstance(deployment, id, (resuming) => ({
    ...disown(move(resuming, 'ready')),
    users: { [user]: { since: now } },
  }));
}

/** Its runtime could not resume it: it ends, and another one may boot. */
export function resumeFailed(deployment: Deployment, id: string, owner: string, now: number): Deployment {
  const instance = findInstance(deployment, id);
  if (instance?.state !== 'resuming' || instance.owner !== owner) return deployment;
  return startDrain(deployment, id, 'resume_failed', now);
}

/** Whether a node of its host is asked to pause or resume it, and none has taken that up. */
export function isAsked({ state, owner }: Pick<Instance, 'state' | 'owner'>): boolean {
  return (state === 'pausing' || state === 'resuming') && owner === undefined;
}

/** A node of its host takes up what it was asked for. Unchanged if another was first. */
export function takeSuspension(deployment: Deployment, id: string, owner: string, now: number): Deployment {
  const instance = findInstance(deployment, id);
  if (!instance || !isAsked(instance)) return deployment;
  return withInstance(deployment, id, (asked) => ({ ...asked, owner, deadlineAt: now + ownedLimitMs }));
}

/**
 * Settles what its owner left. One that was being paused counts as paused only after its deadline, as its runtime may still freeze it; if
 * nobody took it up, it is ready. One that was being resumed is resumed again; running on does no harm to a paused one.
 */
export function settleSuspension(
  deployment: Deployment,
  id: string,
  isGone: (session: string) => boolean,
  now: number,
): Deployment {
  const instance = findInstance(deployment, id);
  if (instance?.state !== 'pausing' && instance?.state !== 'resuming') return deployment;
  const { state, owner, deadlineAt = 0 } = instance;
  const isLeft = state === 'resuming' && owner !== undefined && isGone(owner);
  if (now < deadlineAt && !isLeft) return deployment;
  const next = state === 'pausing' && owner === undefined ? 'ready' : 'paused';
  return withInstance(deployment, id, (left) => disown(move(left, next)));
}

function owned(instance: Instance, doer: Doer, now: number): Instance {
  return { ...instance, ...doer, deadlineAt: now + (doer.owner === undefined ? askLimitMs : ownedLimitMs) };
}
