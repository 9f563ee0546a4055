import type { App } from '../model/app.js';
import { confirmGone, type Deployment, findInstance } from '../model/deployment.js';
import type { Instance } from '../model/instance.js';
import type { BootPurpose } from './boot-slots.js';

/** A boot whose claim stands in the CMDB. */
export interface Claim {
  readonly id: string;
  readonly app: App;
  readonly purpose: BootPurpose;
  /** This node's session when it was written, at first or anew. */
  owner: string;
  /** The store was replaced, and has not been told of it anew. */
  mayBeLost?: boolean;
  /** A store that was replaced did not have it, and has it back. */
  wasLost?: boolean;
  /** As it was written at first. */
  readonly instance: Instance;
}

/** Without the boot, of which nothing runs. Unchanged where it has come further, or is somebody else's. */
export function withoutClaim(deployment: Deployment, { id, owner }: Claim): Deployment {
  const known = findInstance(deployment, id);
  return known?.state === 'booting' && known.owner === owner ? confirmGone(deployment, id) : deployment;
}
