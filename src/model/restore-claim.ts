import type { App } from './app.js';
import { addInstance, type Deployment, findInstance, room, withInstance } from './deployment.js';
import type { Instance } from './instance.js';

export interface ClaimOwners {
  /** The session that the booter had when it last wrote the claim. */
  readonly before: string;
  /** Its present one. */
  readonly owner: string;
}

/**
 * A store that was replaced may have lost the claim of a boot under way, or knows it under the session that its booter had
 * before: it is there, and its booter's. Unchanged where it came further, or somebody else has seen to it: a booter that was away for
 * long may find that another instance was booted in its stead, and that the app, as it was when it was claimed, may have no more.
 */
export function restoreClaim(
  deployment: Deployment,
  app: App,
  claim: Instance,
  { before, owner }: ClaimOwners,
  now: number,
): Deployment {
  const known = findInstance(deployment, claim.id);
  if (!known) {
    const whole = addInstance(deployment, { ...claim, owner });
    return room(whole, app, now) < 0 ? deployment : whole;
  }
  if (known.state !== 'booting' || known.owner !== before) return deployment;
  return withInstance(deployment, claim.id, (booting) => ({ ...booting, owner }));
}
