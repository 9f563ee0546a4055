import type { Logger } from 'pino';
import type { Uses } from '../uses/uses.js';
import type { LocalApps } from '../uses/local-apps.js';
import { type Clock, sleep } from '../model/clock.js';
import { findInstance, instanceDied } from '../model/deployment.js';
import type { Instance } from '../model/instance.js';
import type { Exit, Runtime } from '../runtime/runtime.js';

export interface ExitsOptions {
  readonly apps: LocalApps;
  readonly uses: Uses;
  readonly clock: Clock;
  readonly logger: Logger;
}

const outputBytes = 4_096;
/** Limit of reading it: until the death is written, requests may be sent to where the instance was. */
const outputLimitMs = 300;
const retryMs = 1_000;

/** Removes the instance of a container that ended by itself at once, and logs why it ended. */
export class Exits {
  readonly #options: ExitsOptions;
  readonly #unwatch: (() => void)[] = [];
  #stopped = false;

  constructor(options: ExitsOptions) {
    this.#options = options;
  }

  watch(runtime: Runtime): void {
    this.#unwatch.push(runtime.watch((exit) => void this.report(runtime, exit)));
  }

  stop(): void {
    this.#stopped = true;
    for (const unwatch of this.#unwatch) unwatch();
  }

  /** Removes the dead instance. If it boots or terminates, its owner sees to it. */
  async report(runtime: Runtime, exit: Exit): Promise<void> {
    const { apps, uses, clock, logger } = this.#options;
    let died: Instance | undefined;
    const { id, endedAt = clock.now() } = exit;
    const output = this.#isEnding(exit) ? '' : await this.#outputOf(runtime, exit);
    try {
      const { before } = await apps.update(
        exit.app,
        (current) => instanceDied(current, exit.id, exit.cause, clock.now()),
        { exit: exit.cause, output, ran: { id, endedAt } },
      );
      died = findInstance(before, exit.id);
    } catch (error) {
      logger.debug({ err: error, instance: exit.id }, 'could not write that an instance died; trying again');
      // While the store is away its address may be given to another app: nothing more is sent there.
      const local = apps.get(exit.app);
      if (local) uses.end(local, exit.id, 'instance_gone');
      if (!this.#stopped) clock.after(retryMs, () => void this.report(runtime, { ...exit, endedAt }));
      return;
    }
    if (!died || died.state === 'booting' || died.state === 'terminating') return;
    logger.warn({ app: exit.app, instance: exit.id, cause: exit.cause, output }, 'the instance ended by itself');
    await runtime.stop(exit.id, 0).catch((error: unknown) => {
      logger.warn({ err: error, instance: exit.id }, 'could not clean up after an instance that died');
    });
  }

  /** Whether this node knows that the instance was to end, or has not begun: then nobody asks what it wrote. */
  #isEnding({ app, id }: Exit): boolean {
    const deployment = this.#options.apps.get(app)?.deployment;
    const state = deployment && findInstance(deployment, id)?.state;
    return state === 'booting' || state === 'terminating';
  }

  /** Does not let a slow engine keep requests on their way to what is dead. */
  async #outputOf(runtime: Runtime, { id }: Exit): Promise<string> {
    const { clock, logger } = this.#options;
    const read = runtime.output(id, outputBytes).catch((error: unknown) => {
      logger.debug({ err: error, instance: id }, 'the output of an instance that ended cannot be read');
      return '';
    });
    return Promise.race([read, sleep(clock, outputLimitMs).then(() => '')]);
  }
}
