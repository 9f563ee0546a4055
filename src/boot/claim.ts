import { confirmGone, type Deployment, findInstance } from '../model/deployment.js';
import type { Owned } from '../uses/owned-instances.js';
import type { BootPurpose } from './boot-permits.js';

/** A boot whose claim stands in the CMDB. */
export interface Claim extends Owned {
  readonly id: string;
  readonly purpose: BootPurpose;
}

/** Removes a claim of which nothing runs. Unchanged if the boot has come further, or another node owns it. */
export function withoutClaim(deployment: Deployment, { id, owner }: Claim): Deployment {
  const known = findInstance(deployment, id);
  return known?.state === 'booting' && known.owner === owner ? confirmGone(deployment, id) : deployment;
}
