import type { LocalApp } from '../uses/local-app.js';
import type { BootPurpose, BootSlots } from './boot-slots.js';
import type { MemoryGate } from './memory-gate.js';

/** What a boot needs on this host before its claim is written: one of the slots, and room in memory. */
export class BootPlaces {
  readonly #slots: BootSlots;
  readonly #memory: MemoryGate;

  constructor(slots: BootSlots, memory: MemoryGate) {
    this.#slots = slots;
    this.#memory = memory;
  }

  /**
   * Resolves to what gives slot and memory back, or to undefined where `isWanted` says that nobody needs the boot any more.
   * Who waits for memory holds no slot meanwhile. Rejects with `boot_failed` where memory stays short.
   */
  async take(local: LocalApp, purpose: BootPurpose, isWanted: () => boolean): Promise<(() => void) | undefined> {
    for (;;) {
      const giveSlotBack = await this.#slots.take(local.name, purpose);
      const giveMemoryBack = isWanted() ? this.#memory.reserve(local.app) : undefined;
      if (giveMemoryBack) {
        return () => {
          giveMemoryBack();
          giveSlotBack();
        };
      }
      giveSlotBack();
      if (!isWanted() || !(await this.#memory.wait(local.app, isWanted))) return undefined;
    }
  }
}
