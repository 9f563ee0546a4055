import type { Logger } from 'pino';
import type { Clock } from '../model/clock.js';
import { type Deployment, findInstance } from '../model/deployment.js';
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

/**
 * Registers uses under the session's new name. A store that lost their instances gets them back: until then, that they are in
 * no record says nothing.
 */
export class UseRenewal {
  readonly #options: UseRenewalOptions;
  readonly #republishing = new Set<Use>();
  #underWay: Promise<unknown> = Promise.resolve();

  constructor(options: UseRenewalOptions) {
    this.#options = options;
  }

  /** Those in flight first; until its turn nothing new is sent through a use. Never throws. See Uses.renew. */
  async renew(uses: readonly Use[], republish: boolean): Promise<void> {
    for (const use of uses) use.closed = true;
    const inOrder = uses.toSorted((a, b) => b.inflight - a.inflight);
    this.#underWay = Promise.all(inOrder.map((use) => this.#renewOne(use, republish)));
    await this.#underWay;
  }

  /** Resolves when no use is being registered anew. */
  async settled(): Promise<void> {
    await this.#underWay;
  }

  /** Whether the store may not have this use's instance back yet. */
  isRepublishing(use: Use): boolean {
    return this.#republishing.has(use);
  }

  async #renewOne(use: Use, republish: boolean): Promise<void> {
    const { writes, logger, onOutcome } = this.#options;
    const { deployment } = use.local;
    const known = findInstance(deployment, use.instanceId);
    const lost = republish && (known?.state === 'ready' || known?.state === 'draining') ? deployment : undefined;
    if (lost) this.#republishing.add(use);
    try {
      const instance = await writes.inOrder(use.instanceId, () => this.#renewUser(use, lost));
      // Given up while it was registered.
      if (!use.isCurrent) return onOutcome(use, { kind: 'void' });
      // Renewed once more meanwhile: that renewal goes on with it.
      if (instance === 'renewed again') return;
      onOutcome(use, instance ? { kind: 'renewed', instance } : { kind: 'gone' });
    } catch (error) {
      logger.warn(
        { err: error, app: use.local.name },
        'could not register the use of an instance anew; it is given up',
      );
      onOutcome(use, { kind: 'gone' });
    } finally {
      this.#republishing.delete(use);
    }
  }

  /** The instance as it stands with this session's present name as its user; undefined where it cannot be used any more. */
  async #renewUser(use: Use, lost: Deployment | undefined): Promise<Instance | 'renewed again' | undefined> {
    const { apps, clock, session } = this.#options;
    const { local, instanceId } = use;
    const me = await session.ensureRegistered();
    const missing = lost && findInstance(lost, instanceId);
    const deployment = await apps.update(local.name, (current) => {
      if (!use.isCurrent) return current;
      const whole = missing ? restoreUse(current, missing, me, clock.now(), lost?.pinnedTo) : current;
      return renewUser(whole, instanceId, (user) => session.isFormer(user), me, clock.now());
    });
    if (me !== session.incarnation) return 'renewed again';
    const instance = findInstance(deployment, instanceId);
    return instance?.users[me] ? instance : undefined;
  }
}
