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
  /** Reported exits, by instance id, until they are forgotten. */
  readonly #deaths = new Lru<string, Exit>(mostDeaths);
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
  died(record: ProcessRecord, { cause, endedAt }: Pick<Exit, 'cause' | 'endedAt'>, late: boolean): void {
    const { id, app } = record;
    if (this.#closed || this.#deaths.get(id) !== undefined) return;
    const exit: Exit = { id, app, cause, ...(endedAt === undefined ? {} : { endedAt }) };
    // Bounded, as instances that another dispatcher stops are never forgotten by `forget`.
    this.#deaths.set(id, exit);
    this.#options.onDeath(record, late);
    if (this.#watchers.size === 0 && this.#untold.size < mostDeaths) this.#untold.set(id, exit);
    for (const asker of [...this.#askers]) asker(id);
    for (const watcher of [...this.#watchers]) watcher(exit);
  }

  /** The exit of the instance, if it was reported. */
  known(id: string): Exit | undefined {
    return this.#deaths.get(id);
  }

  /** The exit of an instance that was found dead. Waits for the report, which may come a moment later; undefined if none comes. */
  async exitOf(id: string): Promise<Exit | undefined> {
    if (this.#deaths.get(id) === undefined) await this.#told(id);
    return this.#deaths.get(id);
  }

  /** Call it when the instance is gone or was never started. */
  forget(id: string): void {
    this.#deaths.delete(id);
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
