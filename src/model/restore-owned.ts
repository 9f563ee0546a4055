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
 * A store that was replaced may lack an instance that a node boots or ends, or know it under the session that the node had before:
 * it is there, and its `owner`'s. Unchanged if it came further, or somebody else has seen to it: after a long absence another one may
 * have been booted in its stead, and the app, as it was when it was claimed, may have no more.
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
