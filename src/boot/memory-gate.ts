import type { Logger } from 'pino';
import type { ReadMemory } from '../machine/host-memory.js';
import type { App } from '../model/app.js';
import { type Clock, sleep } from '../model/clock.js';
import { RequestError } from '../model/errors.js';

export interface MemoryGateOptions {
  /** What has to stay available on this host; undefined: every boot fits. */
  readonly floorBytes: number | undefined;
  readonly read: ReadMemory;
  /** Ends idle instances until this much is available, or none is left. Never throws. */
  readonly relieve: (neededBytes: number) => Promise<void>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Called with the outcome of a boot that did not fit at once. */
  readonly onWait: (result: 'fits' | 'refused' | 'dropped') => void;
}

const pollMs = 500;
const retryAfterS = 10;

/**
 * Keeps boots from taking the memory that this host needs: one fits if the floor is left beside the app's limits.memory and those
 * of the boots under way, which do not show in the available memory yet.
 */
export class MemoryGate {
  readonly #options: MemoryGateOptions;
  #reservedBytes = 0;

  constructor(options: MemoryGateOptions) {
    this.#options = options;
  }

  /** Reserves the app's limits.memory. Returns the function that gives it back; undefined if it does not fit. */
  reserve(app: App): (() => void) | undefined {
    if (!this.#fits(app)) return undefined;
    const bytes = app.limits.memoryBytes ?? 0;
    this.#reservedBytes += bytes;
    let held = true;
    return () => {
      if (held) this.#reservedBytes -= bytes;
      held = false;
    };
  }

  /**
   * Ends idle instances until the boot may fit. Resolves to false if it is no longer wanted. Rejects with `boot_failed` after the app's
   * bootTimeout, or at once if this host is too small for it.
   */
  async wait(app: App, isWanted: () => boolean): Promise<boolean> {
    const { clock, relieve, onWait } = this.#options;
    const until = clock.monotonic() + app.bootTimeoutMs;
    for (;;) {
      if (!isWanted()) return end(false, 'dropped');
      if (this.#fits(app)) return end(true, 'fits');
      if (this.#isTooLarge(app) || clock.monotonic() >= until) throw this.#refusal(app);
      await relieve(this.#needed(app));
      if (!this.#fits(app)) await sleep(clock, pollMs);
    }

    function end(fits: boolean, result: 'fits' | 'dropped'): boolean {
      onWait(result);
      return fits;
    }
  }

  #needed(app: App): number {
    return (this.#options.floorBytes ?? 0) + this.#reservedBytes + (app.limits.memoryBytes ?? 0);
  }

  #fits(app: App): boolean {
    if (this.#options.floorBytes === undefined) return true;
    const memory = this.#options.read();
    return memory === undefined || memory.availableBytes >= this.#needed(app);
  }

  /** Ending other instances would not help. */
  #isTooLarge(app: App): boolean {
    const memory = this.#options.read();
    return memory !== undefined && this.#needed(app) - this.#reservedBytes > memory.totalBytes;
  }

  #refusal(app: App): RequestError {
    const { read, floorBytes, logger, onWait } = this.#options;
    onWait('refused');
    const figures = { ...read(), floorBytes, reservedBytes: this.#reservedBytes, limitBytes: app.limits.memoryBytes };
    const cause = `not enough memory on this host to boot ${app.name} beside memory.floor`;
    logger.warn({ app: app.name, ...figures }, `${cause}; add memory, end other apps, or lower limits.memory`);
    return new RequestError('boot_failed', 'There is not enough memory for the app at the moment.', {
      retryAfterS,
      cause,
    });
  }
}
