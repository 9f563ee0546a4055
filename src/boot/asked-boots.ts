import type { Logger } from 'pino';
import type { LocalApp } from '../uses/local-app.js';
import type { LocalApps } from '../uses/local-apps.js';
import type { Peers } from '../membership/peers.js';
import type { Uses } from '../uses/uses.js';
import { isUntaken } from '../model/asked-boot.js';
import { findInstance } from '../model/deployment.js';
import { levelOf } from '../model/errors.js';
import type { Instance } from '../model/instance.js';
import type { OutliveReason } from '../model/lifetime.js';
import type { BootPlaces } from './boot-places.js';
import type { BootPurpose } from './boot-permits.js';
import { type BootResult, type ClaimedBoots, resultOf } from './claimed-boots.js';

export interface AskedBootsOptions {
  readonly apps: LocalApps;
  readonly uses: Uses;
  readonly peers: Pick<Peers, 'rival'>;
  readonly places: BootPlaces;
  readonly boots: ClaimedBoots;
  /** Name of this machine. */
  readonly host: string;
  readonly logger: Logger;
  readonly onReplacement: (reason: OutliveReason, result: BootResult) => void;
}

/** Takes up the boots that nodes of other machines claim for this one, which holds the data of their apps. */
export class AskedBoots {
  readonly #options: AskedBootsOptions;
  /** By instance id. */
  readonly #boots = new Map<string, Promise<void>>();
  readonly #looks = new Set<Promise<void>>();
  #stopped = false;

  constructor(options: AskedBootsOptions) {
    this.#options = options;
  }

  /** A boot of this app waits for a node of this machine. In the background; what is not taken up is freed by its deadline. */
  look(app: string): void {
    // Which of two machines of one name has the data nobody knows.
    if (this.#stopped || this.#options.peers.rival) return;
    const { logger } = this.#options;
    const look = this.#look(app)
      .catch((error: unknown) =>
        logger[levelOf(error)]({ err: error, app }, 'a boot that was asked for was not taken up'),
      )
      .finally(() => this.#looks.delete(look));
    this.#looks.add(look);
  }

  /** Takes up nothing more; resolves when what was under way has ended. Abort the claimed boots before. */
  async stop(): Promise<void> {
    this.#stopped = true;
    await Promise.all(this.#looks);
  }

  async #look(name: string): Promise<void> {
    const { apps, host } = this.#options;
    const local = await apps.load(name);
    if (!local) return;
    await apps.during(local, async () => {
      const asked = local.removed
        ? []
        : local.deployment.instances.filter((each) => isUntaken(each) && each.host === host);
      await Promise.all(asked.map((instance) => this.#boot(local, instance)));
    });
  }

  #boot(local: LocalApp, instance: Instance): Promise<void> {
    const { id } = instance;
    const known = this.#boots.get(id);
    if (known) return known;
    const boot = this.#takeAndBoot(local, instance).finally(() => this.#boots.delete(id));
    this.#boots.set(id, boot);
    return boot;
  }

  async #takeAndBoot(local: LocalApp, { id, replaces }: Instance): Promise<void> {
    const { places, boots, uses, onReplacement } = this.#options;
    const purpose = purposeOf(local, id, replaces);
    const isWanted = () => {
      const instance = findInstance(local.deployment, id);
      return !this.#stopped && instance !== undefined && isUntaken(instance);
    };
    const giveBack = await places.take(local, purpose, isWanted);
    if (!giveBack) return;
    try {
      const claim = await boots.take(local, id, purpose);
      if (!claim) return;
      const outcome = await boots.carryOut(local, claim);
      if (replaces) onReplacement(replaces.reason, resultOf(outcome));
      // Requests for it arrive elsewhere: who is no user takes no share of it.
      if (outcome.kind === 'ready') await uses.releaseIdle(local.name, id);
      if (outcome.kind === 'failed') await outcome.cleanedUp;
    } finally {
      giveBack();
    }
  }
}

function purposeOf({ deployment }: LocalApp, id: string, replaces: Instance['replaces']): BootPurpose {
  if (replaces) return 'replacement';
  return deployment.instances.some((other) => other.id !== id && other.state === 'ready') ? 'scale_out' : 'first';
}
