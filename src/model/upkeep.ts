import { type App, revisionOf } from './app.js';
import { backoffLeftMs, type Breaker } from './breaker.js';
import { type BootClaim, claimBoot, type Deployment, fitsAt, standing, withClaim } from './deployment.js';
import type { Instance } from './instance.js';
import { standsIn } from './last-good.js';
import { expiresAt, outlived, outlivedAt, type OutliveReason } from './lifetime.js';

/** What no request asks for: a boot that scale.min wants, or a paused instance in its place, or a boot to replace an instance that has to go. */
export type Upkeep =
  | { readonly kind: 'fill' }
  | { readonly kind: 'resume'; readonly id: string }
  | { readonly kind: 'replace'; readonly id: string; readonly reason: OutliveReason };

/** What to boot or resume next without a request; undefined: nothing, or not yet. */
export function nextUpkeep(deployment: Deployment, app: App, now: number): Upkeep | undefined {
  const sleeping = lacks(deployment, app) && pausedIn(deployment);
  if (sleeping) return { kind: 'resume', id: sleeping.id };
  if (lacks(deployment, app) && now >= fitsAt(deployment, app) && backoffLeftMs(holdBack(deployment), now) === 0) {
    return { kind: 'fill' };
  }
  if (now < replaceableAt(deployment, app)) return undefined;
  for (const instance of deployment.instances) {
    const reason = needsSuccessor(deployment, instance, app) ? successorFor(deployment, instance, app, now) : undefined;
    if (reason) return { kind: 'replace', id: instance.id, reason };
  }
  return undefined;
}

/** Whether it does not wait until this node may judge others: fewer instances run than scale.min wants. */
export function isUrgent(upkeep: Upkeep | undefined): boolean {
  return upkeep !== undefined && upkeep.kind !== 'replace';
}

/** When `nextUpkeep` will have something to do if the deployment does not change, in epoch milliseconds; Infinity: never. */
export function upkeepDueAt(deployment: Deployment, app: App): number {
  if (lacks(deployment, app) && pausedIn(deployment)) return 0;
  const fillAt = lacks(deployment, app)
    ? Math.max(holdBack(deployment)?.retryAt ?? 0, fitsAt(deployment, app))
    : Infinity;
  const outlivedAts = deployment.instances
    .filter((instance) => needsSuccessor(deployment, instance, app))
    .map((instance) => outlivedAt(instance, app));
  if (outlivedAts.length === 0) return fillAt;
  return Math.min(fillAt, Math.max(replaceableAt(deployment, app), Math.min(...outlivedAts)));
}

/** Claims the boot that `upkeep` asks for. Unchanged if it is no longer needed. */
export function claimUpkeep(
  deployment: Deployment,
  app: App,
  upkeep: Upkeep,
  claim: BootClaim,
  now: number,
): Deployment {
  const next = nextUpkeep(deployment, app, now);
  if (next?.kind !== upkeep.kind || next.kind === 'resume') return deployment;
  if (next.kind === 'fill') return claimBoot(deployment, app, { ...claim, cause: 'minimum' }, now);
  const { id, reason } = next;
  return withClaim(deployment, app, { ...claim, cause: reason, replaces: { id, reason } }, now);
}

/**
 * Whether an instance that has to end stays until another one is ready: it is used, scale.min keeps it, or the other one boots
 * already. Not if more stand than scale.max allows, or if its app must not overlap.
 */
export function needsSuccessor(deployment: Deployment, instance: Instance, app: App): boolean {
  if (instance.state !== 'ready' || !app.overlap) return false;
  if (deployment.instances.some(({ state, replaces }) => state === 'booting' && replaces?.id === instance.id))
    return true;
  if (standing(deployment).length > app.scale.max) return false;
  const isUsed = Object.keys(instance.users).length > 0;
  return isUsed || deployment.instances.filter(({ state }) => state === 'ready').length <= app.scale.min;
}

/** A stand-in past its lifetime is replaced by another stand-in; only then is the app's own revision tried again. */
function successorFor(deployment: Deployment, instance: Instance, app: App, now: number): OutliveReason | undefined {
  if (now >= expiresAt(instance, app) && standsIn(deployment, instance, app)) return 'lifetime';
  return outlived(instance, app, now);
}

/** Whether fewer instances run or are about to than scale.min wants; one that is being paused is soon to be counted as paused. */
function lacks(deployment: Deployment, app: App): boolean {
  if (app.scale.min === 0) return false;
  const awake = standing(deployment).filter(({ state }) => state !== 'pausing' && state !== 'paused');
  return awake.length < app.scale.min;
}

function pausedIn({ instances }: Deployment): Instance | undefined {
  return instances.find(({ state }) => state === 'paused');
}

/** The failure that a boot for scale.min backs off from. One beside an instance that served holds back only further ones. */
function holdBack({ breaker, instances }: Deployment): Breaker | undefined {
  return breaker?.scaleOut && !instances.some(({ state }) => state === 'ready') ? undefined : breaker;
}

/** When an instance may be replaced: one at a time, if one more fits, and not during the back-off of a failed attempt. */
function replaceableAt(deployment: Deployment, app: App): number {
  if (deployment.instances.some(({ state, replaces }) => state === 'booting' && replaces)) return Infinity;
  const failed = deployment.failedRevision;
  const retryAt = failed && failed.revision === revisionOf(app) ? failed.retryAt : 0;
  return Math.max(fitsAt(deployment, app), retryAt);
}
