import type { Logger } from 'pino';
import type { LocalApp } from '../uses/local-app.js';
import type { LocalApps } from '../uses/local-apps.js';
import { findInstance } from '../model/deployment.js';
import { levelOf } from '../model/errors.js';
import type { Instance } from '../model/instance.js';
import type { OutliveReason } from '../model/lifetime.js';
import { claimUpkeep, type Upkeep } from '../model/upkeep.js';
import type { BootPlaces } from './boot-places.js';
import type { Claim } from './claim.js';
import { type BootResult, type ClaimChange, type ClaimedBoots, resultOf } from './claimed-boots.js';
import type { Homes } from './homes.js';

export interface CirculatorOptions {
  readonly apps: LocalApps;
  readonly places: BootPlaces;
  readonly boots: ClaimedBoots;
  readonly homes: Homes;
  /** A warning that may be repeated with each look at the app. */
  readonly warn: (app: string, message: string) => void;
  readonly logger: Logger;
  readonly onReplacement: (reason: OutliveReason, result: BootResult) => void;
}

/** Carries out the boots that no request asks for: those that scale.min wants, and replacements. */
export class Circulator {
  readonly #options: CirculatorOptions;
  /** Apps whose next claim is not written yet; what is asked for them meanwhile is asked for again by the schedule. */
  readonly #claiming = new Set<string>();
  readonly #boots = new Set<Promise<void>>();
  #stopped = false;

  constructor(options: CirculatorOptions) {
    this.#options = options;
  }

  /** Boots in the background. What fails is noted in the deployment, and due again when its back-off is over. */
  boot(app: string, upkeep: Upkeep): void {
    if (this.#stopped || this.#claiming.has(app)) return;
    const { logger } = this.#options;
    const boot = this.#boot(app, upkeep)
      .catch((error: unknown) =>
        logger[levelOf(error)]({ err: error, app }, 'an unasked boot was not begun; it is due again'),
      )
      .finally(() => this.#boots.delete(boot));
    this.#boots.add(boot);
  }

  /** Begins nothing more; resolves when what was under way has ended. Abort the claimed boots before. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#boots);
  }

  async #boot(name: string, upkeep: Upkeep): Promise<void> {
    const { apps } = this.#options;
    this.#claiming.add(name);
    try {
      const local = await apps.load(name);
      if (local) await apps.during(local, () => this.#bootAt(local, upkeep));
    } finally {
      this.#claiming.delete(name);
    }
  }

  async #bootAt(local: LocalApp, upkeep: Upkeep): Promise<void> {
    const { homes, boots, warn } = this.#options;
    const home = homes.of(local);
    if (home?.problem) return warn(local.name, home.problem.cause);
    if (home) {
      await boots.ask(local, home.host, claimOf(upkeep));
      return;
    }
    const giveBack = await this.#options.places.take(local, purposeOf(upkeep), () => !this.#stopped);
    if (!giveBack) return;
    try {
      const claimed = await this.#claim(local, upkeep);
      this.#claiming.delete(local.name);
      if (claimed) await this.#carryOut(local, claimed.claim, claimed.replaces);
    } finally {
      giveBack();
    }
  }

  /** Undefined where another node was first, or there is no need any more. */
  async #claim(local: LocalApp, upkeep: Upkeep): Promise<{ claim: Claim; replaces: Instance['replaces'] } | undefined> {
    let replaces: Instance['replaces'];
    const claim = await this.#options.boots.claim(local, purposeOf(upkeep), (current, app, asked, now) => {
      const claimed = claimOf(upkeep)(current, app, asked, now);
      replaces = findInstance(claimed, asked.id)?.replaces;
      return claimed;
    });
    return claim && { claim, replaces };
  }

  async #carryOut(local: LocalApp, claim: Claim, replaces: Instance['replaces']): Promise<void> {
    const { boots, logger, onReplacement } = this.#options;
    const fields = { app: local.name, instance: claim.id, replaces: replaces?.id, reason: replaces?.reason };
    if (replaces) logger.info(fields, 'replacing an instance');
    const outcome = await boots.carryOut(local, claim);
    if (replaces) onReplacement(replaces.reason, resultOf(outcome));
    if (outcome.kind === 'ready') {
      if (replaces) logger.info(fields, 'replaced; the old instance drains');
      return;
    }
    if (outcome.kind === 'claim_gone') return;
    await outcome.cleanedUp;
    const failed = local.deployment.failedRevision;
    if (replaces && failed && outcome.result !== 'aborted') {
      const retryAt = new Date(failed.retryAt).toISOString();
      logger.error(
        { ...fields, cause: failed.message, failures: failed.failures, retryAt },
        'the replacement did not become ready; the old instance stays and it is tried again',
      );
    }
  }
}

function claimOf(upkeep: Upkeep): ClaimChange {
  return (current, app, claim, now) => claimUpkeep(current, app, upkeep, claim, now);
}

function purposeOf({ kind }: Upkeep): 'minimum' | 'replacement' {
  return kind === 'fill' ? 'minimum' : 'replacement';
}
