import type { Clock } from '../../model/clock.js';
import { Lru } from '../../model/lru.js';
import type { Exit } from '../runtime.js';
import type { ProcessRecord } from './records.js';

export interface ExitsOptions {
  readonly clock: Clock;
  /** Called once per exit, before the watchers; `late` if it may have happened long ago. */
  readonly onDeath: (record: ProcessRecord, late: boolean) => void;
}

/** Longest wait for the report of an exit after the app was seen dead: normally a moment, longer on a busy machine. */
const tellMs = 10_000;
/** Most exits that are remembered with their cause, or kept for a first watcher. */
const mostDeaths = 1_000;

/** Exits of instances with their causes, for watchers and callers. */
export class Exits {
  readonly #options: ExitsOptions;
  readonly #watchers = new Set<(exit: Exit) => void>();
  /** Callers that wait for the cause of an exit. */
  readonly #askers = new Set<(id: string) => void>();
  /** Causes of reported exits, by instance id, until they are forgotten. */
  readonly #causes = new Lru<string, string>(mostDeaths);
  /** Exits that were reported before there was a watcher. */
  readonly #untold = new Map<string, Exit>();
  #closed = false;

  constructor(options: ExitsOptions) {
    this.#options = options;
  }

  /** Watches exits. The first watcher also gets those that were reported before it. */
  watch(onExit: (exit: Exit) => void): () => void {
    this.#watchers.add(onExit);
    const untold = [...this.#untold.values()];
    this.#untold.clear();
    if (untold.length > 0) queueMicrotask(() => untold.forEach((exit) => this.#watchers.has(onExit) && onExit(exit)));
    return () => void this.#watchers.delete(onExit);
  }

  /** Reports an exit. Only the first report of an instance counts. */
  died(record: ProcessRecord, cause: string, late: boolean): void {
    const { id, app } = record;
    if (this.#closed || this.#causes.get(id) !== undefined) return;
    // Bounded, as instances that another dispatcher stops are never forgotten by `forget`.
    this.#causes.set(id, cause);
    this.#options.onDeath(record, late);
    if (this.#watchers.size === 0 && this.#untold.size < mostDeaths) this.#untold.set(id, { id, app, cause });
    for (const asker of [...this.#askers]) asker(id);
    for (const watcher of [...this.#watchers]) watcher({ id, app, cause });
  }

  /** Why the instance ended, if that was reported. */
  knownCause(id: string): string | undefined {
    return this.#causes.get(id);
  }

  /** Why an instance that was found dead ended. Waits for the report, which may come a moment later; undefined if none comes. */
  async causeOf(id: string): Promise<string | undefined> {
    if (this.#causes.get(id) === undefined) await this.#told(id);
    return this.#causes.get(id);
  }

  /** Call it when the instance is gone or was never started. */
  forget(id: string): void {
    this.#causes.delete(id);
    this.#untold.delete(id);
  }

  close(): void {
    this.#closed = true;
    this.#watchers.clear();
  }

  /** Resolves when the exit is reported, or after a limit. */
  #told(id: string): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        limit.cancel();
        this.#askers.delete(asker);
        resolve();
      };
      const asker = (told: string) => told === id && done();
      const limit = this.#options.clock.after(tellMs, done);
      this.#askers.add(asker);
    });
  }
}
