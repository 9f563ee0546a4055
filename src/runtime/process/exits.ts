import type { Clock } from '../../model/clock.js';
import type { Exit } from '../runtime.js';
import type { ProcessRecord } from './records.js';

export interface ExitsOptions {
  readonly clock: Clock;
  /** Called once per exit, before those who watch; `late` if it happened long ago. */
  readonly onDeath: (record: ProcessRecord, late: boolean) => void;
}

/** An app is seen dead before its exit is told: by a moment, or by what a busy machine makes of one. */
const tellMs = 10_000;
/** Deaths whose cause is remembered, or whose exit nobody watched yet; the oldest are forgotten first. */
const mostDeaths = 1_000;

/** Who has died, of what, and who wants to know. */
export class Exits {
  readonly #options: ExitsOptions;
  readonly #watchers = new Set<(exit: Exit) => void>();
  /** Those who wait for the cause of one death. */
  readonly #askers = new Set<(id: string) => void>();
  /** Causes of the deaths that were told, by instance id, until they are forgotten. */
  readonly #causes = new Map<string, string>();
  /** Those told before anybody watched. */
  readonly #untold = new Map<string, Exit>();
  #closed = false;

  constructor(options: ExitsOptions) {
    this.#options = options;
  }

  /** Whoever watches first is told of what was found at the opening. */
  watch(onExit: (exit: Exit) => void): () => void {
    this.#watchers.add(onExit);
    const untold = [...this.#untold.values()];
    this.#untold.clear();
    if (untold.length > 0) queueMicrotask(() => untold.forEach((exit) => this.#watchers.has(onExit) && onExit(exit)));
    return () => void this.#watchers.delete(onExit);
  }

  /** Of one death, only what is told first counts. */
  died(record: ProcessRecord, cause: string, late: boolean): void {
    const { id, app } = record;
    if (this.#closed || this.#causes.has(id)) return;
    // What another dispatcher stops is never forgotten by name here.
    remember(this.#causes, id, cause);
    this.#options.onDeath(record, late);
    if (this.#watchers.size === 0) remember(this.#untold, id, { id, app, cause });
    for (const asker of [...this.#askers]) asker(id);
    for (const watcher of [...this.#watchers]) watcher({ id, app, cause });
  }

  /** Why it died, if that was told. */
  knownCause(id: string): string | undefined {
    return this.#causes.get(id);
  }

  /** Why it died; asked by whoever found it dead, which may be a moment before that is told. */
  async causeOf(id: string): Promise<string | undefined> {
    if (!this.#causes.has(id)) await this.#told(id);
    return this.#causes.get(id);
  }

  /** It is gone, or was never started. */
  forget(id: string): void {
    this.#causes.delete(id);
    this.#untold.delete(id);
  }

  close(): void {
    this.#closed = true;
    this.#watchers.clear();
  }

  /** Resolves when its exit is told, or is not. */
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

function remember<T>(map: Map<string, T>, id: string, value: T): void {
  if (map.size >= mostDeaths) map.delete(map.keys().next().value ?? '');
  map.set(id, value);
}
