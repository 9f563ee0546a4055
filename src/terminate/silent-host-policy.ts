import type { Verdict } from '../membership/peers.js';
import { type Deployment, findInstance, giveUp } from '../model/deployment.js';
import type { Instance, Location } from '../model/instance.js';
import { releaseUser } from '../model/users.js';

export interface HostView {
  readonly now: number;
  /** This node's session. */
  readonly me: string;
  readonly verdict: (session: string) => Verdict;
  /** False if no node lives that sees an instance there. */
  readonly isSeen: (location: Location) => boolean;
}

/**
 * Instances to give up should they not answer this node: no node of their machine lives, so that nobody can ask its runtime, and
 * no live node but this one uses them.
 */
export function outOfReach({ instances }: Deployment, view: HostView): readonly Instance[] {
  return instances.filter((instance) => isOutOfReach(instance, view));
}

/** Removes those that did not answer, unless a live node took one up meanwhile; this node's own use of it goes in any case. */
export function removeOutOfReach(deployment: Deployment, ids: ReadonlySet<string>, view: HostView): Deployment {
  return [...ids].reduce((next, id) => {
    const instance = findInstance(next, id);
    if (!instance) return next;
    if (isOutOfReach(instance, view)) return giveUp(next, id);
    return releaseUser(next, id, view.me, view.now);
  }, deployment);
}

function isOutOfReach(instance: Instance, { me, verdict, isSeen }: HostView): boolean {
  if (isSeen(instance)) return false;
  const { users, owner } = instance;
  const others = [...Object.keys(users), ...(owner === undefined ? [] : [owner])].filter((session) => session !== me);
  // One that nobody has seen yet may have registered just now.
  return others.every((session) => verdict(session) === 'silent' || verdict(session) === 'gone');
}
