import type { Logger } from 'pino';
import type { LocalApp } from '../uses/local-app.js';
import type { LocalApps } from '../uses/local-apps.js';
import type { Peers } from '../membership/peers.js';
import type { Suspensions } from '../uses/suspensions.js';
import type { Uses } from '../uses/uses.js';
import { isUntaken } from '../model/asked-boot.js';
import { findInstance } from '../model/deployment.js';
import { levelOf } from '../model/errors.js';
import type { Instance } from '../model/instance.js';
import type { OutliveReason } from '../model/lifetime.js';
import { shared } from '../model/shared-work.js';
import { claimUpkeep, type Upkeep } from '../model/upkeep.js';
import type { BootPurpose } from './boot-permits.js';
import type { BootProcedure, BootTrigger } from './boot-procedure.js';
import type { Claim } from './claim.js';
import { type BootOutcome, type BootResult, type ClaimChange, type ClaimedBoots, resultOf } from './claimed-boots.js';
import type { BootHosts } from './boot-hosts.js';

export interface UnaskedBootsOptions {
  readonly apps: LocalApps;
  readonly uses: Uses;
  readonly peers: Pick<Peers, 'rival'>;
  readonly procedure: BootProcedure;
  readonly boots: ClaimedBoots;
  readonly suspensions: Pick<Suspensions, 'resume'>;
  readonly hosts: BootHosts;
  /** Name of this machine. */
  readonly host: string;
  /** Logs a warning that each look at the app may repeat. */
  readonly warn: (app: string, message: string) => void;
  readonly logger: Logger;
  readonly onReplacement: (reason: OutliveReason, result: BootResult) => void;
}

/**
 * The boots that no request of this node waits for: those that scale.min wants, replacements, and those that nodes of other hosts
 * ask of this one because it has the app's data.
 */
export class UnaskedBoots {
  readonly #options: UnaskedBootsOptions;
  /** Apps with a claim that is not written yet; the schedule asks again for what else they need. */
  readonly #claiming = new Set<string>();
  /** Claims of other hosts' nodes that are being taken up, by instance id. */
  readonly #takingUp = new Map<string, Promise<void>>();
  readonly #underWay = new Set<Promise<void>>();
  #stopped = false;

  constructor(options: UnaskedBootsOptions) {
    this.#options = options;
  }

  /** Boots or resumes what upkeep wants, in the background. A failure is noted in the deployment, and due again after its back-off. */
  keepUp(app: string, upkeep: Upkeep): void {
    if (this.#stopped || this.#claiming.has(app)) return;
    this.#claiming.add(app);
    let isClaiming = true;
    // Once: when this boot ends, the claim of the next one may be under way.
    const onClaim = () => {
      if (isClaiming) this.#claiming.delete(app);
      isClaiming = false;
    };
    void this.#begin(app, (local) => this.#keepUp(local, upkeep, onClaim)).finally(onClaim);
  }

  /** Takes up, in the background, the boots of this app that were asked of this host. */
  takeUp(app: string): void {
    const { peers, host } = this.#options;
    // Of two hosts of one name nobody knows which has the data.
    if (this.#stopped || peers.rival) return;
    void this.#begin(app, async (local) => {
      const { instances } = local.deployment;
      const asked = local.removed ? [] : instances.filter((each) => isUntaken(each) && each.host === host);
      for (const instance of asked) {
        void shared(this.#takingUp, instance.id, () => this.#begin(app, (again) => this.#takeUp(again, instance)));
      }
    });
  }

  /** Begins nothing more; resolves when the boots, which are aborted before, have been cleaned up. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#underWay);
  }

  /** Never rejects. */
  #begin(app: string, work: (local: LocalApp) => Promise<void>): Promise<void> {
    const { apps, logger } = this.#options;
    const load = async () => {
      const local = await apps.load(app);
      if (local && !this.#stopped) await apps.during(local, () => work(local));
    };
    const begun = load()
      .catch((error: unknown) =>
        logger[levelOf(error)]({ err: error, app }, 'a boot that no request waits for was not begun; it is due again'),
      )
      .finally(() => this.#underWay.delete(begun));
    this.#underWay.add(begun);
    return begun;
  }

  async #keepUp(local: LocalApp, upkeep: Upkeep, onClaim: () => void): Promise<void> {
    const { hosts, boots, suspensions, warn } = this.#options;
    if (upkeep.kind === 'resume') return void (await suspensions.resume(local, upkeep.id));
    const change: ClaimChange = (current, app, claim, now) => claimUpkeep(current, app, upkeep, claim, now);
    const other = hosts.of(local);
    if (other?.problem) return warn(local.name, other.problem.cause);
    if (other) return void (await boots.ask(local, other.host, change));
    const purpose = upkeep.kind === 'fill' ? 'minimum' : 'replacement';
    const isWanted = () => !this.#stopped;
    await this.#boot(local, { purpose, isWanted, claim: () => boots.claim(local, purpose, change), onClaim });
  }

  async #takeUp(local: LocalApp, { id, replaces }: Instance): Promise<void> {
    const { boots, uses } = this.#options;
    const isWanted = () => {
      const instance = findInstance(local.deployment, id);
      return !this.#stopped && instance !== undefined && isUntaken(instance);
    };
    const purpose = purposeOf(local, id, replaces);
    const outcome = await this.#boot(local, { purpose, isWanted, claim: () => boots.take(local, id, purpose) });
    // Requests for it arrive elsewhere: a node that is no user takes no share of it.
    if (outcome?.kind === 'ready') await uses.releaseIdle(local.name, id);
  }

  #boot(local: LocalApp, trigger: BootTrigger): Promise<BootOutcome | undefined> {
    const { procedure, logger } = this.#options;
    return procedure.boot(local, {
      ...trigger,
      onClaim: (claim) => {
        trigger.onClaim?.(claim);
        if (claim?.instance.replaces) logger.info(fieldsOf(claim), 'replacing an instance');
      },
      onOutcome: (outcome, claim) => this.#report(local, outcome, claim),
    });
  }

  #report(local: LocalApp, outcome: BootOutcome, claim: Claim): void {
    const { logger, onReplacement } = this.#options;
    const { replaces } = claim.instance;
    if (!replaces) return;
    onReplacement(replaces.reason, resultOf(outcome));
    if (outcome.kind === 'ready') logger.info(fieldsOf(claim), 'replaced; the old instance drains');
    if (outcome.kind !== 'failed' || outcome.result === 'aborted') return;
    const tell = () => {
      const failed = local.deployment.failedRevision;
      if (!failed) return;
      const { message: cause, failures } = failed;
      logger.error(
        { ...fieldsOf(claim), cause, failures, retryAt: new Date(failed.retryAt).toISOString() },
        'the replacement did not become ready; the old instance stays and it is tried again',
      );
    };
    // If it cannot be cleaned up, #begin logs that.
    outcome.cleanedUp.then(tell, () => {});
  }
}

function purposeOf({ deployment }: LocalApp, id: string, replaces: Instance['replaces']): BootPurpose {
  if (replaces) return 'replacement';
  return deployment.instances.some((other) => other.id !== id && other.state === 'ready') ? 'scale_out' : 'first';
}

function fieldsOf({ id, app, instance: { replaces } }: Claim) {
  return { app: app.name, instance: id, replaces: replaces?.id, reason: replaces?.reason };
}
