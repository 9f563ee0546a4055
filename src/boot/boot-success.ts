import type { LocalApps } from '../uses/local-apps.js';
import type { NodeSession } from '../membership/session.js';
import type { StoreHealth } from '../membership/store-health.js';
import type { Clock } from '../model/clock.js';
import { bootSucceeded, type Deployment, findInstance } from '../model/deployment.js';
import type { Pin } from '../model/pin.js';
import { restoreOwned } from '../model/restore-owned.js';
import type { Runtime } from '../runtime/runtime.js';
import { type Claim, withoutClaim } from './claim.js';
import type { BootedInstance } from './instance-boot.js';

export interface SuccessOptions {
  readonly apps: LocalApps;
  readonly session: Pick<NodeSession, 'incarnation' | 'isOwn'>;
  readonly store: Pick<StoreHealth, 'isComplete'>;
  readonly runtime: Runtime;
  readonly clock: Clock;
  readonly pin: Pin | undefined;
}

/**
 * Writes that a claimed boot succeeded. If a replaced store lacks the claim, it is written as well, but only while the container
 * runs: another node may have ended it as a stray. Writes nothing if the claim was taken away. Throws what store and runtime
 * throw; the outcome may then be unknown.
 */
export async function writeSuccess(options: SuccessOptions, claim: Claim, booted: BootedInstance): Promise<void> {
  const { apps, session, store, runtime } = options;
  const { id, app } = claim;
  const runs = async () => (await runtime.inspect(id)).state === 'running';
  for (;;) {
    const { owner, wasMissing } = claim;
    if (wasMissing && !(await runs())) {
      await apps.update(app.name, (current) => withoutClaim(current, claim));
      return;
    }
    let known = findInstance(await write(options, claim, owner, booted, false), id);
    // In this order: a container that still runs after the record was read was not taken away.
    if (!known && (claim.inDoubt || !store.isComplete) && (await runs())) {
      known = findInstance(await write(options, claim, owner, booted, true), id);
    }
    if (known?.state !== 'booting' || known.owner === undefined || !session.isOwn(known.owner)) return;
    // It was written anew under a later session, perhaps by a write whose answer never came.
    claim.owner = known.owner;
    claim.wasMissing = true;
  }
}

async function write(
  { apps, session, clock, pin }: SuccessOptions,
  { id, app, instance }: Claim,
  owner: string,
  { address, startedAt, phases }: BootedInstance,
  isMissing: boolean,
): Promise<Deployment> {
  const report = { address, startedAt, boot: phases, user: session.incarnation, claimedBy: owner, pin };
  const { deployment } = await apps.update(app.name, (current) => {
    const now = clock.now();
    const claimed = isMissing ? restoreOwned(current, { app, instance, owner }, owner, now) : current;
    return bootSucceeded(claimed, id, report, now);
  });
  return deployment;
}
