import type { Verdict } from '../membership/peers.js';
import type { App } from '../model/app.js';
import { bootNotTaken, isUntaken } from '../model/asked-boot.js';
import {
  confirmGone,
  defaultStopTimeoutMs,
  findInstance,
  startDrain,
  startTerminate,
  type Deployment,
} from '../model/deployment.js';
import { isReleased } from '../model/host-actions.js';
import { dropUsers } from '../model/users.js';
import { type EndReason, type Instance, isSuspended, sees, type Sight } from '../model/instance.js';
import { standsIn } from '../model/last-good.js';
import { expiresAt, idleAt, outlived } from '../model/lifetime.js';
import { settleSuspension, startPause } from '../model/suspension.js';
import { needsSuccessor } from '../model/upkeep.js';

/** Only what this node sees is terminated. */
export interface ReapContext extends Sight {
  readonly now: number;
  /** This node's session, which carries out what is decided. */
  readonly me: string;
  readonly verdict: (session: string) => Verdict;
  /** Whether instances may be ended for idleness or age: this node has followed the store for long enough. */
  readonly mayEnd: boolean;
  /** The app's record is gone or marked as removed: its instances drain. */
  readonly removed: boolean;
}

/**
 * Decides what has to end from the deployment and the time alone; returns the deployment to write. The caller then terminates
 * the instances that are `toTerminate`.
 */
export function reap(deployment: Deployment, app: App | undefined, context: ReapContext): Deployment {
  const { verdict, now } = context;
  const alive = dropUsers(deployment, (user) => verdict(user) === 'gone', now);
  return alive.instances.reduce((next, { id }) => reapInstance(next, id, app, context), alive);
}

/** Ids of the instances whose end is written and for this session to carry out. */
export function toTerminate({ instances }: Deployment, me: string): string[] {
  return instances.filter(({ state, owner }) => state === 'terminating' && owner === me).map(({ id }) => id);
}

function reapInstance(deployment: Deployment, id: string, app: App | undefined, context: ReapContext): Deployment {
  const found = findInstance(deployment, id);
  if (found && isUntaken(found)) return freeIfDue(deployment, found, app, context);
  const settled = settleSuspension(deployment, id, (session) => context.verdict(session) === 'gone', context.now);
  const drained = pauseIfDue(drainIfDue(settled, id, app, context), id, app, context);
  const instance = findInstance(drained, id);
  if (!instance || !sees(context, instance) || !isDoomed(instance, context)) return drained;
  const termination = {
    owner: context.me,
    reason: instance.end?.reason ?? ('orphaned' as const),
    stopTimeoutMs: app?.stopTimeoutMs ?? defaultStopTimeoutMs,
  };
  return startTerminate(drained, id, termination, context.now);
}

/** Instances that are written as being paused by this session, for it to carry out. */
export function toPause({ instances }: Deployment, me: string): Instance[] {
  return instances.filter(({ state, owner }) => state === 'pausing' && owner === me);
}

/** Frees a claim that no node took up; as nothing runs of it, a node of any host may do so. */
function freeIfDue(
  deployment: Deployment,
  { id, deadlineAt = 0 }: Instance,
  app: App | undefined,
  context: ReapContext,
) {
  if (context.removed || !app) return confirmGone(deployment, id);
  return context.now >= deadlineAt ? bootNotTaken(deployment, id, context.now) : deployment;
}

function drainIfDue(deployment: Deployment, id: string, app: App | undefined, context: ReapContext): Deployment {
  const instance = findInstance(deployment, id);
  const mayDrain = instance?.state === 'ready' || instance?.state === 'paused';
  if (!mayDrain || !context.mayEnd) return deployment;
  const reason = endReason(deployment, instance, app, context);
  return reason ? startDrain(deployment, id, reason, context.now) : deployment;
}

/** A node that does not see it asks one of its host. */
function pauseIfDue(deployment: Deployment, id: string, app: App | undefined, context: ReapContext): Deployment {
  const instance = findInstance(deployment, id);
  if (!instance || !app || context.removed || !context.mayEnd) return deployment;
  const { me } = context;
  return startPause(deployment, id, app, sees(context, instance) ? { owner: me } : { askedBy: me }, context.now);
}

function endReason(
  deployment: Deployment,
  instance: Instance,
  app: App | undefined,
  { now, removed }: ReapContext,
): EndReason | undefined {
  if (removed || !app) return 'app_removed';
  const ready = deployment.instances.filter(({ state }) => state === 'ready').length;
  if ((ready > app.scale.min || isSuspended(instance)) && now >= idleAt(instance, app)) return 'idle';
  if (standsIn(deployment, instance, app) && now < expiresAt(instance, app)) return undefined;
  const reason = outlived(instance, app, now);
  return reason && !needsSuccessor(deployment, instance, app) ? reason : undefined;
}

/** Whether its container is to be stopped now, by the first node that sees this. */
function isDoomed(instance: Instance, { now, verdict }: ReapContext): boolean {
  const overdue = instance.deadlineAt !== undefined && now >= instance.deadlineAt;
  const abandoned = instance.owner !== undefined && verdict(instance.owner) === 'gone';
  switch (instance.state) {
    case 'draining':
      return isReleased(instance);
    case 'terminating':
      return overdue || abandoned;
    case 'booting':
      return abandoned || overdue;
    case 'ready':
    case 'pausing':
    case 'paused':
    case 'resuming':
      return false;
  }
}
