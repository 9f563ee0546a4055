/** What a boot is for: an app's first instance, one more beside others, one that scale.min wants, or a replacement. */
export type BootPurpose = 'first' | 'scale_out' | 'minimum' | 'replacement';

/** In the order in which free permits are handed out. */
const purposes: readonly BootPurpose[] = ['first', 'scale_out', 'minimum', 'replacement'];

type Waiter = () => void;

/**
 * Bounds how many boots run at once on this node. First boots go before all others, which never take the last of several permits:
 * however much one app boots, another's first boot finds a permit. Within a purpose apps take turns.
 */
export class BootPermits {
  readonly #max: number;
  #held = 0;
  /** Boots that wait, by app; the app whose turn is next comes first. */
  readonly #waiting: Readonly<Record<BootPurpose, Map<string, Waiter[]>>> = {
    first: new Map(),
    scale_out: new Map(),
    minimum: new Map(),
    replacement: new Map(),
  };

  constructor(max: number) {
    this.#max = Math.max(1, max);
  }

  /** Resolves to the function that gives the permit back; harmless twice. */
  async take(app: string, purpose: BootPurpose): Promise<() => void> {
    if (this.#isFree(purpose)) this.#held += 1;
    else await this.#wait(app, purpose);
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      this.#held -= 1;
      for (const each of purposes) this.#serve(each);
    };
  }

  #isFree(purpose: BootPurpose): boolean {
    return this.#held < (purpose === 'first' ? this.#max : Math.max(1, this.#max - 1));
  }

  #wait(app: string, purpose: BootPurpose): Promise<void> {
    return new Promise((resolve) => {
      const waiting = this.#waiting[purpose];
      const queue = waiting.get(app);
      if (queue) queue.push(resolve);
      else waiting.set(app, [resolve]);
    });
  }

  /** Gives free permits to the apps in turn; an app with more boots that wait goes to the end of the line. */
  #serve(purpose: BootPurpose): void {
    const waiting = this.#waiting[purpose];
    for (const [app, queue] of waiting) {
      if (!this.#isFree(purpose)) return;
      waiting.delete(app);
      const [next, ...rest] = queue;
      if (rest.length > 0) waiting.set(app, rest);
      this.#held += 1;
      next?.();
    }
  }
}
