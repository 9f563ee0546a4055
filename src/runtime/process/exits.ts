import type { Clock } from '../../model/clock.js';
import { isRunning } from '../../proc-fs.js';
import type { Exit } from '../runtime.js';
import { Adopted } from './adopted.js';
import type { Parent } from './launcher-process.js';
import type { ProcessRecord } from './records.js';

export interface ExitsOptions {
  readonly clock: Clock;
  /** Called once per exit, before those who watch. */
  readonly onDeath: (record: ProcessRecord) => void;
  /** Called every few seconds for each instance that another dispatcher started, and whenever it is adopted again. */
  readonly onCheck: (record: ProcessRecord) => void;
}

/** A child is seen dead a moment before its exit is told. */
const tellMs = 1_000;
/** Deaths whose cause is remembered; the oldest are forgotten first. */
const mostCauses = 1_000;

/** Who has died, of what, and who wants to know. */
export class Exits {
  readonly #options: ExitsOptions;
  readonly #watchers = new Set<(exit: Exit) => void>();
  /** Ids of our children, and our launcher's, that run or are about to. */
  readonly #children = new Set<string>();
  /** Running processes that an earlier or another dispatcher started, by instance id. */
  readonly #adopted: Adopted;
  /** Causes of the deaths that were seen, until they are forgotten. */
  readonly #causes = new Map<string, string>();
  #closed = false;

  constructor(options: ExitsOptions) {
    this.#options = options;
    const { clock, onCheck } = options;
    this.#adopted = new Adopted({ clock, onDeath: (record) => this.died(record, 'it ended'), onAlive: onCheck });
  }

  watch(onExit: (exit: Exit) => void): () => void {
    this.#watchers.add(onExit);
    return () => void this.#watchers.delete(onExit);
  }

  /** From now on the instance is our child, or our launcher's: whoever starts it tells what becomes of it. */
  parentOf(record: ProcessRecord): Parent {
    this.#children.add(record.id);
    return {
      onExit: (cause, process) => this.died({ ...record, process }, cause),
      onOrphaned: (process) => this.#orphaned({ ...record, process }),
    };
  }

  died(record: ProcessRecord, cause: string): void {
    if (this.#closed) return;
    this.#children.delete(record.id);
    this.#adopted.delete(record.id);
    this.#remember(record.id, cause);
    this.#options.onDeath(record);
    for (const watcher of [...this.#watchers]) watcher({ id: record.id, app: record.app, cause });
  }

  /** Watches a running process that is not our child. Harmless twice, and for our children. */
  adopt(record: ProcessRecord): void {
    const { id, process } = record;
    if (this.#closed || !process || !isRunning(process)) return;
    if (this.#children.has(id) || this.#causes.has(id)) return;
    if (!this.#adopted.has(id)) this.#adopted.add(record);
    this.#options.onCheck(record);
  }

  /** Why it is dead; asked by whoever found it so, which may be before it is told or looked at. */
  async causeOf(id: string): Promise<string> {
    this.#adopted.look(id);
    if (this.#children.has(id)) await this.#told(id);
    return this.#causes.get(id) ?? 'it ended while no dispatcher watched';
  }

  /** It is gone, or was never started. */
  forget(id: string): void {
    this.#children.delete(id);
    this.#adopted.delete(id);
    this.#causes.delete(id);
  }

  close(): void {
    this.#closed = true;
    this.#watchers.clear();
    this.#adopted.close();
  }

  /** Who would have told of its exit has ended: it is watched like those of other dispatchers. */
  #orphaned(record: ProcessRecord): void {
    this.#children.delete(record.id);
    this.adopt(record);
    if (!this.#adopted.has(record.id) && !this.#causes.has(record.id)) this.died(record, 'it ended');
  }

  /** Resolves when its exit is told, or is not. */
  #told(id: string): Promise<void> {
    return new Promise((resolve) => {
      const done = () => {
        limit.cancel();
        unwatch();
        resolve();
      };
      const limit = this.#options.clock.after(tellMs, done);
      const unwatch = this.watch((exit) => exit.id === id && done());
    });
  }

  #remember(id: string, cause: string): void {
    // What another dispatcher stops is never forgotten by name here.
    if (this.#causes.size >= mostCauses) this.#causes.delete(this.#causes.keys().next().value ?? '');
    this.#causes.set(id, cause);
  }
}
