import { type Deployment, findInstance } from './deployment.js';

/**
 * A session lapsed and goes on under a new name, which takes the place of `former` ones among the users of an instance:
 * of a ready one in any case, of a draining one where nobody has dropped them yet. Unchanged where nothing is to be done.
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
  const instances = deployment.instances.map((each) => (each === instance ? { ...each, users: renewed } : each));
  return { ...deployment, instances };
}
