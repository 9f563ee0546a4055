import type { App } from './app.js';
import { addInstance, type Deployment, findInstance, room, withInstance } from './deployment.js';
import type { Instance } from './instance.js';

/** An instance that a node boots or ends. */
export interface OwnedInstance {
  readonly app: App;
  /** As it was written at first. */
  readonly instance: Instance;
  /** The node's session when it was written, at first or anew. */
  readonly owner: string;
}

/**
 * Writes an instance that a node boots or ends into a replaced store, which may lack it or have it under an earlier session of the
 * node. Unchanged if it is in another state or another node owns it by now, or if the app, as it was when it was claimed, has no
 * vacancy for it.
 */
export function restoreOwned(
  deployment: Deployment,
  { app, instance, owner: before }: OwnedInstance,
  owner: string,
  now: number,
): Deployment {
  const { id, state } = instance;
  const known = findInstance(deployment, id);
  if (!known) {
    const whole = addInstance(deployment, { ...instance, owner, users: {} });
    return state === 'booting' && room(whole, app, now) < 0 ? deployment : whole;
  }
  if (known.state !== state || known.owner !== before) return deployment;
  return withInstance(deployment, id, (owned) => ({ ...owned, owner }));
}
