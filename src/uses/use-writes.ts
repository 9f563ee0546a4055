import type { Logger } from 'pino';
import type { Clock } from '../model/clock.js';
import type { Deployment } from '../model/deployment.js';
import { levelOf } from '../model/errors.js';
import type { LocalApps } from './local-apps.js';

export type UseChange = (deployment: Deployment, now: number) => Deployment;

export interface UseWritesOptions {
  readonly apps: LocalApps;
  readonly clock: Clock;
  readonly logger: Logger;
}

const retryMs = 3_000;

/** Writes about this node's uses, one at a time for each instance, so that they take effect in order. */
export class UseWrites {
  readonly #options: UseWritesOptions;
  /** The last write about each instance; the next one waits for it. */
  readonly #last = new Map<string, Promise<unknown>>();
  #stopped = false;

  constructor(options: UseWritesOptions) {
    this.#options = options;
  }

  /** Tries in the background until it is written: a use left behind would keep its instance. Resolves after the first attempt. Never throws. */
  async write(app: string, instanceId: string, change: UseChange): Promise<void> {
    const { apps, clock, logger } = this.#options;
    try {
      await this.inOrder(instanceId, () => apps.update(app, (deployment) => change(deployment, clock.now())));
    } catch (error) {
      logger[levelOf(error)]({ err: error, app }, 'could not write the use of an instance; trying again');
      if (!this.#stopped) clock.after(retryMs, () => void this.write(app, instanceId, change));
    }
  }

  inOrder<T>(instanceId: string, run: () => Promise<T>): Promise<T> {
    const before = this.#last.get(instanceId) ?? Promise.resolve();
    const next = before.then(run, run);
    this.#last.set(instanceId, next);
    const settled = () => {
      if (this.#last.get(instanceId) === next) this.#last.delete(instanceId);
    };
    next.then(settled, settled);
    return next;
  }

  /** What fails from now on is not tried again. */
  stop(): void {
    this.#stopped = true;
  }

  /** Resolves when all writes under way have ended, written or not. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#last.values());
  }
}
