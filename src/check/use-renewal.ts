import type { Logger } from 'pino';
import type { Clock } from '../model/clock.js';
import { type Deployment, findInstance } from '../model/deployment.js';
import { RequestError } from '../model/errors.js';
import type { Instance } from '../model/instance.js';
import { renewUser, restoreUse } from '../model/users.js';
import type { LocalApps } from './local-apps.js';
import type { NodeSession } from './session.js';
import type { Use } from './use.js';
import type { UseWrites } from './use-writes.js';

export interface UseRenewalOptions {
  readonly apps: LocalApps;
  readonly session: NodeSession;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly writes: UseWrites;
  /** What came of it. `renewed`: it stands in the store, and may be sent to again where its instance is ready. */
  readonly onOutcome: (use: Use, outcome: RenewalOutcome) => void;
}

export type RenewalOutcome =
  | { readonly kind: 'renewed'; readonly instance: Instance }
  /** The use was given up meanwhile. */
  | { readonly kind: 'void' }
  /** The instance cannot be used any more. */
  | { readonly kind: 'gone' };

/** While the store is away, it is tried again this often. */
const retryMs = 1_000;

/**
 * Registers uses under the session's new name. A store that lost their instances gets them back: until then, that they are in
 * no record says nothing. While it is away what is under way goes on.
 */
export class UseRenewal {
  readonly #options: UseRenewalOptions;
  /** What was known of instances that the store may have lost, until it has them back. */
  readonly #lost = new Map<Use, Deployment>();
  #underWay: Promise<unknown> = Promise.resolve();

  constructor(options: UseRenewalOptions) {
    this.#options = options;
  }

  /** Those in flight first; until its turn nothing new is sent through a use. Never throws. See Uses.renew. */
  async renew(uses: readonly Use[], republishUntil = -Infinity): Promise<void> {
    for (const use of uses) use.closed = true;
    const inOrder = uses.toSorted((a, b) => b.inflight - a.inflight);
    this.#underWay = Promise.all(inOrder.map((use) => this.#renewOne(use, republishUntil)));
    await this.#underWay;
  }

  /** Resolves when no use is being registered anew. */
  async settled(): Promise<void> {
    await this.#underWay;
  }

  /** Whether the store may not have this use's instance back yet. */
  isRepublishing(use: Use): boolean {
    return this.#lost.has(use);
  }

  async #renewOne(use: Use, republishUntil: number): Promise<void> {
    const { session, clock, onOutcome } = this.#options;
    const { incarnation } = session;
    if (!this.#lost.has(use) && isUsable(use)) this.#lost.set(use, use.local.deployment);
    for (;;) {
      if (clock.monotonic() >= republishUntil) this.#lost.delete(use);
      const outcome = await this.#attempt(use);
      // Renewed once more meanwhile: that renewal goes on with it.
      if (use.isCurrent && incarnation !== session.incarnation) return;
      if (outcome !== 'store away') {
        this.#lost.delete(use);
        return onOutcome(use, outcome);
      }
      await new Promise<void>((resolve) => clock.after(retryMs, resolve));
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
      if (error instanceof RequestError && error.code === 'cmdb_unavailable') return 'store away';
      logger.warn(
        { err: error, app: use.local.name },
        'could not register the use of an instance anew; it is given up',
      );
      return { kind: 'gone' };
    }
  }

  /** The instance as it stands with this session's present name as its user; undefined where it cannot be used any more. */
  async #renewUser(use: Use): Promise<Instance | undefined> {
    const { apps, clock, session } = this.#options;
    const { local, instanceId } = use;
    const me = await session.ensureRegistered();
    const lost = this.#lost.get(use);
    const missing = lost && findInstance(lost, instanceId);
    const deployment = await apps.update(local.name, (current) => {
      if (!use.isCurrent) return current;
      const whole = missing ? restoreUse(current, missing, me, clock.now(), lost?.pinnedTo) : current;
      return renewUser(whole, instanceId, (user) => session.isFormer(user), me, clock.now());
    });
    const instance = findInstance(deployment, instanceId);
    return instance?.users[me] ? instance : undefined;
  }
}

function isUsable({ local, instanceId }: Use): boolean {
  const state = findInstance(local.deployment, instanceId)?.state;
  return state === 'ready' || state === 'draining';
}
