import { close, type FSWatcher, openSync, watch, write } from 'node:fs';
import { join } from 'node:path';

/** Name of the bell's file in the directory of the store. */
export const bellFile = 'changes.bell';

/**
 * Wakes the readers of the change log, in this process and in others that share the store: each change touches a small file, and
 * the kernel tells its watchers. Nothing polls.
 */
export class Bell {
  readonly #file: number;
  readonly #watcher: FSWatcher;
  readonly #listeners = new Set<() => void>();
  #touching = false;
  #touchAgain = false;
  #closed = false;

  constructor(directory: string) {
    const path = join(directory, bellFile);
    this.#file = openSync(path, 'w', 0o600);
    this.#watcher = watch(path, { persistent: false }, () => this.#wake());
    // Without the bell, a wait ends at its time limit.
    this.#watcher.on('error', () => {});
  }

  /** Call it when a change was committed. Rings during a touch of the file are merged into one. */
  ring(): void {
    this.#wake();
    if (this.#touching || this.#closed) {
      this.#touchAgain = true;
      return;
    }
    this.#touching = true;
    write(this.#file, '.', 0, () => {
      this.#touching = false;
      if (this.#closed) return close(this.#file);
      if (!this.#touchAgain) return;
      this.#touchAgain = false;
      this.ring();
    });
  }

  /** Resolves at the next ring after the call, or when the signal aborts. */
  next(signal: AbortSignal): { readonly rung: Promise<void>; cancel(): void } {
    let stop = () => {};
    const rung = new Promise<void>((resolve) => {
      stop = () => {
        this.#listeners.delete(stop);
        signal.removeEventListener('abort', stop);
        resolve();
      };
      this.#listeners.add(stop);
      signal.addEventListener('abort', stop, { once: true });
      if (signal.aborted) stop();
    });
    return { rung, cancel: () => stop() };
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#watcher.close();
    if (!this.#touching) close(this.#file);
    this.#wake();
  }

  #wake(): void {
    for (const listener of this.#listeners) listener();
  }
}
