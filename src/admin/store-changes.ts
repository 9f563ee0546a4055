import type { Clock } from '../model/clock.js';

/** Tells those that wait which apps have changed in the store, so that nobody has to look again and again. */
export class StoreChanges {
  readonly #clock: Clock;
  readonly #listeners = new Set<Listener>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Call it with what the change log named; `all`: what changed is not known. */
  tell(apps: readonly string[] | 'all'): void {
    for (const listener of this.#listeners) listener.tell(apps);
  }

  /** Listens for changes of one app, or of any, from now on, until it is closed or the signal aborts. */
  listen(signal: AbortSignal, app?: string): Listener {
    const listener = new Listener(this.#clock, app, () => {
      this.#listeners.delete(listener);
      signal.removeEventListener('abort', listener.close);
    });
    this.#listeners.add(listener);
    signal.addEventListener('abort', listener.close, { once: true });
    if (signal.aborted) listener.close();
    return listener;
  }
}

/** Remembers whether there was a change since it was last waited for. */
export class Listener {
  readonly #clock: Clock;
  readonly #app: string | undefined;
  readonly #onClose: () => void;
  #isTold = false;
  #isClosed = false;
  #wake: (() => void) | undefined;

  constructor(clock: Clock, app: string | undefined, onClose: () => void) {
    this.#clock = clock;
    this.#app = app;
    this.#onClose = onClose;
  }

  tell(apps: readonly string[] | 'all'): void {
    if (this.#app !== undefined && apps !== 'all' && !apps.includes(this.#app)) return;
    this.#isTold = true;
    this.#wake?.();
  }

  /** Resolves at once after a change since the last call or if it is closed, else at the next change or when the time is up. */
  async next(mostMs: number): Promise<void> {
    if (!this.#isTold && !this.#isClosed) await this.#wait(mostMs);
    this.#isTold = false;
  }

  /** Ends what waits. Harmless twice. */
  readonly close = (): void => {
    this.#isClosed = true;
    this.#onClose();
    this.#wake?.();
  };

  #wait(mostMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#clock.after(mostMs, () => this.#wake?.());
      this.#wake = () => {
        this.#wake = undefined;
        timer.cancel();
        resolve();
      };
    });
  }
}
