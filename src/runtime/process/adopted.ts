import { setImmediate as turn } from 'node:timers/promises';
import type { Clock, Timer } from '../../model/clock.js';
import { stillRuns } from '../../proc-fs.js';
import type { ProcessRecord } from './records.js';

export interface AdoptedOptions {
  readonly clock: Clock;
  /** Called once for each that is found dead. */
  readonly onDeath: (record: ProcessRecord) => void;
  /** Called whenever one was looked at closely and lives. */
  readonly onAlive: (record: ProcessRecord) => void;
}

const checkMs = 1_000;
/**
 * Each is looked at closely at every fifth check: reading /proc costs ten times what a signal does, which tells of all but
 * a zombie that nobody reaps, and a pid that is another's since the last check.
 */
const closeLookEvery = 5;
/** Requests go on while many are looked at. */
const looksInATurn = 16;
const signalsInATurn = 256;

/** Running processes that are not our children: the kernel tells nothing of them, so they are looked at once a second. */
export class Adopted {
  readonly #options: AdoptedOptions;
  readonly #records = new Map<string, ProcessRecord>();
  #timer: Timer | undefined;
  #round = 0;
  #checking = false;

  constructor(options: AdoptedOptions) {
    this.#options = options;
  }

  has(id: string): boolean {
    return this.#records.has(id);
  }

  /** One that ran a moment ago, on this boot of the machine. */
  add(record: ProcessRecord): void {
    this.#records.set(record.id, record);
    this.#checkLater();
  }

  delete(id: string): void {
    this.#records.delete(id);
  }

  /** Looks at one now. */
  look(id: string): void {
    const record = this.#records.get(id);
    if (!record?.process) return;
    if (stillRuns(record.process.pid, record.process.startTime)) this.#options.onAlive(record);
    else this.#lose(record);
  }

  close(): void {
    this.#records.clear();
    this.#timer?.cancel();
  }

  #checkLater(): void {
    if (this.#checking || this.#records.size === 0) return;
    this.#timer ??= this.#options.clock.after(checkMs, () => void this.#check());
  }

  async #check(): Promise<void> {
    this.#timer = undefined;
    this.#checking = true;
    this.#round = (this.#round + 1) % closeLookEvery;
    const share = looksInATurn / signalsInATurn;
    let done = 0;
    for (const { id, process: main } of [...this.#records.values()]) {
      const record = this.#records.get(id);
      if (!record || !main) continue;
      const isCloseLook = main.pid % closeLookEvery === this.#round;
      if (isCloseLook) this.look(id);
      else if (isGone(main.pid)) this.#lose(record);
      done += isCloseLook ? 1 : share;
      if (done < looksInATurn) continue;
      done = 0;
      await turn();
    }
    this.#checking = false;
    this.#checkLater();
  }

  #lose(record: ProcessRecord): void {
    this.#records.delete(record.id);
    this.#options.onDeath(record);
  }
}

function isGone(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH';
  }
}
