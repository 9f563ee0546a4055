import type { LocalApps } from '../uses/local-apps.js';
import type { Clock } from '../model/clock.js';
import { findInstance } from '../model/deployment.js';
import { restoreClaim } from '../model/restore-claim.js';
import type { Claim } from './claim.js';

export interface ClaimsUnderWayOptions {
  readonly apps: LocalApps;
  readonly clock: Clock;
}

/** The claims that this node boots on, and what gives them back to a store that was replaced and may have lost them. */
export class ClaimsUnderWay {
  readonly #options: ClaimsUnderWayOptions;
  readonly #claims = new Set<Claim>();

  constructor(options: ClaimsUnderWayOptions) {
    this.#options = options;
  }

  add(claim: Claim): void {
    this.#claims.add(claim);
  }

  delete(claim: Claim): void {
    this.#claims.delete(claim);
  }

  /** The store was replaced: it may have lost them, until `restore` has written them. */
  doubt(): void {
    for (const claim of this.#claims) claim.mayBeLost = true;
  }

  /** Writes those in doubt anew, as this session's. Throws what the store throws. */
  async restore(owner: string): Promise<void> {
    const inDoubt = [...this.#claims].filter((claim) => claim.mayBeLost || claim.owner !== owner);
    await Promise.all(inDoubt.map((claim) => this.#restore(claim, owner)));
  }

  async #restore(claim: Claim, owner: string): Promise<void> {
    const { id, app, instance } = claim;
    const { apps, clock } = this.#options;
    const owners = { before: claim.owner, owner };
    let wasLost = false;
    const deployment = await apps.update(app.name, (current) => {
      // Once is enough: an attempt whose outcome was unknown may have written it.
      wasLost ||= findInstance(current, id) === undefined;
      return this.#claims.has(claim) ? restoreClaim(current, app, instance, owners, clock.now()) : current;
    });
    claim.mayBeLost = false;
    if (findInstance(deployment, id)?.owner !== owner) return;
    claim.owner = owner;
    claim.wasLost ||= wasLost;
  }
}
