import type { LocalApp } from '../uses/local-app.js';
import type { BootPurpose, BootPermits } from './boot-permits.js';
import type { MemoryGate } from './memory-gate.js';

/** What a boot needs on this host before its claim is written: one of the permits, and room in memory. */
export class BootPlaces {
  readonly #permits: BootPermits;
  readonly #memory: MemoryGate;

  constructor(permits: BootPermits, memory: MemoryGate) {
    this.#permits = permits;
    this.#memory = memory;
  }

  /**
   * Resolves to what gives permit and memory back, or to undefined where `isWanted` says that nobody needs the boot any more.
   * Who waits for memory holds no permit meanwhile. Rejects with `boot_failed` where memory stays short.
   */
  async take(local: LocalApp, purpose: BootPurpose, isWanted: () => boolean): Promise<(() => void) | undefined> {
    for (;;) {
      const givePermitBack = await this.#permits.take(local.name, purpose);
      const giveMemoryBack = isWanted() ? this.#memory.reserve(local.app) : undefined;
      if (giveMemoryBack) {
        return () => {
          giveMemoryBack();
          givePermitBack();
        };
      }
      givePermitBack();
      if (!isWanted() || !(await this.#memory.wait(local.app, isWanted))) return undefined;
    }
  }
}
