import { addInstance, type Deployment, findInstance, withInstance } from './deployment.js';
import type { Instance } from './instance.js';
import type { Pin } from './pin.js';

/** Registers a session as user of a ready instance. Unchanged if the instance is not ready or not there. */
export function registerUser(deployment: Deployment, id: string, user: string, now: number): Deployment {
  const instance = findInstance(deployment, id);
  if (instance?.state !== 'ready') return deployment;
  const known = instance.users[user];
  if (known && known.quietSince === undefined) return deployment;
  return withInstance(deployment, id, (ready) => ({
    ...ready,
    users: { ...ready.users, [user]: { since: known?.since ?? now } },
  }));
}

/** A user reports that only silent WebSockets hold the instance since `lastActiveAt`. */
export function quietUser(deployment: Deployment, id: string, user: string, lastActiveAt: number): Deployment {
  const instance = findInstance(deployment, id);
  const known = instance?.users[user];
  if (!instance || !known) return deployment;
  return withInstance(deployment, id, (used) => ({
    ...used,
    lastActiveAt: Math.max(used.lastActiveAt, lastActiveAt),
    users: { ...used.users, [user]: { ...known, quietSince: lastActiveAt } },
  }));
}

/** A user will send nothing more; `lastActiveAt` is the true time of its last activity. */
export function releaseUser(deployment: Deployment, id: string, user: string, lastActiveAt: number): Deployment {
  const instance = findInstance(deployment, id);
  if (!instance?.users[user]) return deployment;
  return withInstance(deployment, id, (used) => {
    const { [user]: _released, ...users } = used.users;
    return { ...used, users, lastActiveAt: Math.max(used.lastActiveAt, lastActiveAt) };
  });
}

/**
 * A session lapsed and was renewed: `user` takes the place of the `former` names among the users of an instance. It is added to
 * a ready instance in any case, to a draining one only if a former name is still there.
 */
export function renewUser(
  deployment: Deployment,
  id: string,
  former: (user: string) => boolean,
  user: string,
  now: number,
): Deployment {
  const instance = findInstance(deployment, id);
  if (!instance) return deployment;
  const held = Object.keys(instance.users).filter(former);
  const mayUse = instance.state === 'ready' || (instance.state === 'draining' && held.length > 0);
  if (held.length === 0 && (!mayUse || instance.users[user])) return deployment;
  const users = Object.fromEntries(Object.entries(instance.users).filter(([name]) => !former(name)));
  const renewed = mayUse ? { ...users, [user]: { since: now } } : users;
  return withInstance(deployment, id, (used) => ({ ...used, users: renewed }));
}

/**
 * Writes an instance that a session uses, ready or draining, into a replaced store, which may lack it, with the session as its
 * user and the known `pin` of its app. Unchanged if it is terminating.
 */
export function restoreUse(deployment: Deployment, used: Instance, user: string, now: number, pin?: Pin): Deployment {
  const { id } = used;
  const whole = addInstance(deployment, { ...used, users: {} }, pin);
  const instance = findInstance(whole, id);
  if ((instance?.state !== 'ready' && instance?.state !== 'draining') || instance.users[user]) return whole;
  return withInstance(whole, id, (known) => ({ ...known, users: { ...known.users, [user]: { since: now } } }));
}

/** Drops users whose sessions are gone. When they last sent something is unknown, so now counts as activity. */
export function dropUsers(deployment: Deployment, gone: (user: string) => boolean, now: number): Deployment {
  return deployment.instances.reduce(
    (result, instance) =>
      Object.keys(instance.users)
        .filter(gone)
        .reduce((dropped, user) => releaseUser(dropped, instance.id, user, now), result),
    deployment,
  );
}
