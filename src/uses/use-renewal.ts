import type { Logger } from 'pino';
import type { NodeSession } from '../membership/session.js';
import type { StoreHealth } from '../membership/store-health.js';
import { type Clock, sleep } from '../model/clock.js';
import { type Deployment, findInstance, room } from '../model/deployment.js';
import { isStoreAway } from '../model/errors.js';
import type { Instance } from '../model/instance.js';
import { renewUser, restoreUse } from '../model/users.js';
import type { LocalApps } from './local-apps.js';
import type { Use } from './use.js';
import type { UseWrites } from './use-writes.js';

export interface UseRenewalOptions {
  readonly apps: LocalApps;
  readonly session: Pick<NodeSession, 'incarnation' | 'ensureRegistered' | 'isFormer'>;
  readonly store: Pick<StoreHealth, 'isComplete'>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly writes: UseWrites;
  /** Called with the outcome for each use. `renewed`: it is in the store, and takes requests again if its instance is ready. */
  readonly onOutcome: (use: Use, outcome: RenewalOutcome) => void;
}

export type RenewalOutcome =
  | { readonly kind: 'renewed'; readonly instance: Instance }
  /** The use was given up meanwhile. */
  | { readonly kind: 'void' }
  /** The instance can no longer be used. */
  | { readonly kind: 'gone' };

/** Pause between attempts while the store is away. */
const retryMs = 1_000;

/**
 * Registers uses under the session's new incarnation. A replaced store that lacks their instances gets them back; until then a record
 * without them says nothing. Requests under way go on meanwhile.
 */
export class UseRenewal {
  readonly #options: UseRenewalOptions;
  /** What was known of instances that the store may lack, and until when they are written back. */
  readonly #inDoubt = new Map<Use, { readonly deployment: Deployment; readonly until: number }>();
  #firstAttempts: Promise<unknown> = Promise.resolve();

  constructor(options: UseRenewalOptions) {
    this.#options = options;
  }

  /** Begins with the uses that have most in flight; until it is renewed, a use takes nothing new. Never throws. See Uses.renew. */
  async renew(uses: readonly Use[], republishUntil = -Infinity): Promise<void> {
    for (const use of uses) {
      use.closed = true;
      use.isDraining = false;
    }
    const inOrder = uses.toSorted((a, b) => b.inflight - a.inflight);
    const renewals = inOrder.map((use) => this.#renewOne(use, republishUntil));
    this.#firstAttempts = Promise.all(renewals.map(({ firstAttempt }) => firstAttempt));
    await Promise.all(renewals.map(({ end }) => end));
  }

  /** Resolves when there was an attempt for each use. */
  async tried(): Promise<void> {
    await this.#firstAttempts;
  }

  /** Whether the store may not have this use's instance back yet. */
  isRepublishing(use: Use): boolean {
    return this.#doubted(use) !== undefined;
  }

  #doubted(use: Use): Deployment | undefined {
    const known = this.#inDoubt.get(use);
    return known && this.#options.clock.monotonic() < known.until ? known.deployment : undefined;
  }

  #renewOne(use: Use, until: number): { readonly firstAttempt: Promise<unknown>; readonly end: Promise<void> } {
    // If the store is replaced several times, what was known before the first counts.
    const isInDoubt = !this.#inDoubt.has(use) && isUsable(use) && this.#options.clock.monotonic() < until;
    if (isInDoubt) this.#inDoubt.set(use, { deployment: use.local.deployment, until });
    const firstAttempt = this.#attempt(use);
    return { firstAttempt, end: this.#persist(use, firstAttempt) };
  }

  async #persist(use: Use, firstAttempt: Promise<RenewalOutcome | 'store away'>): Promise<void> {
    const { session, clock, onOutcome } = this.#options;
    const { incarnation } = session;
    for (let attempt = firstAttempt; ; attempt = this.#attempt(use)) {
      const outcome = await attempt;
      // The session was renewed once more: that renewal goes on.
      if (use.isCurrent && incarnation !== session.incarnation) return;
      if (outcome !== 'store away') {
        this.#inDoubt.delete(use);
        return onOutcome(use, outcome);
      }
      await sleep(clock, retryMs);
      if (use.isCurrent && incarnation !== session.incarnation) return;
    }
  }

  async #attempt(use: Use): Promise<RenewalOutcome | 'store away'> {
    const { writes, logger } = this.#options;
    try {
      const instance = await writes.inOrder(use.instanceId, () => this.#renewUser(use));
      // Given up while it was registered.
      if (!use.isCurrent) return { kind: 'void' };
      return instance ? { kind: 'renewed', instance } : { kind: 'gone' };
    } catch (error) {
      if (!use.isCurrent) return { kind: 'void' };
      if (isStoreAway(error)) return 'store away';
      logger.warn(
        { err: error, app: use.local.name },
        'could not register the use of an instance anew; it is given up',
      );
      return { kind: 'gone' };
    }
  }

  /** The instance once this session is its user; undefined if it can no longer be used. */
  async #renewUser(use: Use): Promise<Instance | undefined> {
    const { apps, clock, session } = this.#options;
    const { local, instanceId } = use;
    const me = await session.ensureRegistered();
    const { deployment } = await apps.update(local.name, (current) => {
      if (!use.isCurrent) return current;
      const whole = this.#withMissing(current, use, me);
      return renewUser(whole, instanceId, (user) => session.isFormer(user), me, clock.now());
    });
    const instance = findInstance(deployment, instanceId);
    return instance?.users[me] ? instance : undefined;
  }

  #withMissing(current: Deployment, use: Use, me: string): Deployment {
    const { store, clock } = this.#options;
    const doubted = this.#doubted(use);
    const missing = doubted && findInstance(doubted, use.instanceId);
    if (!missing) return current;
    const whole = restoreUse(current, missing, me, clock.now(), doubted.pinnedTo);
    // Too late: others have gone on without it, and booted all that the app may have.
    const isLate = store.isComplete && !findInstance(current, use.instanceId);
    return isLate && room(whole, use.local.app, clock.now()) < 0 ? current : whole;
  }
}

function isUsable({ local, instanceId }: Use): boolean {
  const state = findInstance(local.deployment, instanceId)?.state;
  return state === 'ready' || state === 'draining';
}
