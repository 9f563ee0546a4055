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

/** Instances to give up if they do not answer: no live node sees them, and none but this one uses or owns them. */
export function outOfReach({ instances }: Deployment, view: HostView): readonly Instance[] {
  return instances.filter((instance) => isOutOfReach(instance, view));
}

/** Removes instances that did not answer; of one that a live node has taken up meanwhile, only this node's own use. */
export function removeOutOfReach(deployment: Deployment, ids: ReadonlySet<string>, view: HostView): Deployment {
  return [...ids].reduce((next, id) => {
    const instance = findInstance(next, id);
    if (!instance) return next;
    if (isOutOfReach(instance, view)) return giveUp(next, id, view.now);
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
