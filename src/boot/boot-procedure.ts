import type { LocalApp } from '../uses/local-app.js';
import type { BootPermits, BootPurpose } from './boot-permits.js';
import type { Claim } from './claim.js';
import type { BootOutcome, ClaimedBoots } from './claimed-boots.js';
import type { MemoryGate } from './memory-gate.js';

export interface BootProcedureOptions {
  readonly permits: BootPermits;
  readonly memory: MemoryGate;
  readonly boots: ClaimedBoots;
}

/** What sets a boot off: requests that wait, upkeep, or a node of another host. */
export interface BootTrigger {
  readonly purpose: BootPurpose;
  /** Whether the boot is still needed; asked while it waits for its permit and for memory. */
  readonly isWanted: () => boolean;
  /** Undefined if another node was first, or the app may have no more. */
  readonly claim: () => Promise<Claim | undefined>;
  /** Called with the outcome of `claim`. */
  readonly onClaim?: (claim: Claim | undefined) => void;
  /** Called with the outcome of the boot, before what it left is cleaned up. */
  readonly onOutcome?: (outcome: BootOutcome, claim: Claim) => void;
}

/** The one way to boot, whatever asks for it: take a permit, claim, carry out, give back. */
export class BootProcedure {
  readonly #options: BootProcedureOptions;

  constructor(options: BootProcedureOptions) {
    this.#options = options;
  }

  /**
   * Resolves to the outcome once what a failed boot left has been cleaned up; undefined if nothing was booted here. Rejects with a
   * RequestError if the boot could not be claimed or cleaned up.
   */
  async boot(local: LocalApp, trigger: BootTrigger): Promise<BootOutcome | undefined> {
    const giveBack = await this.#takePermit(local, trigger);
    if (!giveBack) return undefined;
    try {
      const claim = await trigger.claim();
      trigger.onClaim?.(claim);
      return claim && (await this.#carryOut(local, claim, trigger));
    } finally {
      giveBack();
    }
  }

  /** Takes a permit and reserves memory; a boot that waits for memory holds no permit. Undefined if it is no longer wanted. */
  async #takePermit(local: LocalApp, { purpose, isWanted }: BootTrigger): Promise<(() => void) | undefined> {
    const { permits, memory } = this.#options;
    for (;;) {
      const giveBack = await permits.take(local.name, purpose);
      const giveMemoryBack = isWanted() ? memory.reserve(local.app) : undefined;
      if (giveMemoryBack) {
        return () => {
          giveMemoryBack();
          giveBack();
        };
      }
      giveBack();
      if (!isWanted() || !(await memory.wait(local.app, isWanted))) return undefined;
    }
  }

  async #carryOut(local: LocalApp, claim: Claim, { onOutcome }: BootTrigger): Promise<BootOutcome> {
    const outcome = await this.#options.boots.carryOut(local, claim);
    onOutcome?.(outcome, claim);
    if (outcome.kind === 'failed') await outcome.cleanedUp;
    return outcome;
  }
}
