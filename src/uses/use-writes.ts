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

/** What this node writes about its uses, one after another for each instance, so that they land in the order they were meant. */
export class UseWrites {
  readonly #options: UseWritesOptions;
  /** The last write about each instance; the next one waits for it. */
  readonly #last = new Map<string, Promise<unknown>>();
  #stopped = false;

  constructor(options: UseWritesOptions) {
    this.#options = options;
  }

  /** Writes again until it is written: a use left behind would keep its instance for ever. Never throws. */
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

  /** Resolves when what was under way has ended, however it did. */
  async settled(): Promise<void> {
    await Promise.allSettled(this.#last.values());
  }
}
