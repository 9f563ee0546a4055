/**
 * What a boot is for: the first instance of an app that has none, one more beside others, one that scale.min wants though
 * nobody asks, or one that replaces another.
 */
export type BootPurpose = 'first' | 'scale_out' | 'minimum' | 'replacement';

/** In the order in which free permits are handed out. */
const purposes: readonly BootPurpose[] = ['first', 'scale_out', 'minimum', 'replacement'];

type Waiter = () => void;

/**
 * Bounds how many boots run at once on this node. An app's first instance goes before any other boot, and where there is
 * more than one permit, others never take the last free one: however many instances one app wants, and however long they
 * take, another's first boot finds a permit. Among each kind, apps take turns.
 */
export class BootPermits {
  readonly #max: number;
  #held = 0;
  /** Who waits, by app; the app that is next comes first. */
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

  /** Hands free permits to the apps in turn; one that still waits goes to the end of the line. */
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
