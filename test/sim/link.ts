import { RequestError } from '../../src/model/errors.js';
import type { Random } from './random.js';
import type { SimProcess } from './sim-process.js';
import type { Store } from './store.js';
import type { Timeline } from './timeline.js';

/** What goes wrong between nodes and the store at the moment. */
export interface StoreFaults {
  /** Connections are refused. */
  down: boolean;
  /** It takes requests and answers none until it thaws: then it carries them out. */
  frozen: boolean;
  /** Added to each way, at most. */
  slowMs: number;
  /** How likely a call is lost on its way there, or its answer on the way back. */
  lossy: number;
}

export interface LinkOptions {
  readonly timeline: Timeline;
  readonly store: Store;
  readonly faults: StoreFaults;
  readonly process: SimProcess;
  readonly random: Random;
}

interface Sent {
  readonly at: number;
  readonly run: () => void;
}

const timeLimitMs = 2_000;

/** One process's connection to the store: calls and answers keep their order, and any of them may be lost or late. */
export class Link {
  readonly #options: LinkOptions;
  readonly #held: (() => void)[] = [];
  #sentUntil = 0;
  #answeredUntil = 0;
  #partitioned = false;
  isClosed = false;

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  /** No packet gets through; what is sent meanwhile arrives when the network is whole again. */
  partition(): void {
    this.#partitioned = true;
  }

  /** `deliver` false: the connection was reset, and what was under way is lost. */
  heal(deliver: boolean): void {
    this.#partitioned = false;
    this.flush(deliver);
  }

  flush(deliver = true): void {
    for (const run of this.#held.splice(0)) if (deliver) run();
  }

  /** Carries `operation` out at the store; rejects with `cmdb_unavailable`, and then nobody knows whether it was. */
  call<T>(operation: (store: Store) => T): Promise<T> {
    return this.wait<T>((store, answer) => answer(() => operation(store)), timeLimitMs);
  }

  /** Like `call` for what the store answers later: `begin` runs at the store and may call `answer` when it likes. */
  wait<T>(begin: (store: Store, answer: (result: () => T) => void) => void, limitMs: number): Promise<T> {
    const { store, process } = this.#options;
    return new Promise((resolve, reject) => {
      if (this.isClosed) return reject(unavailable('the connection is closed'));
      const timer = process.clock.after(limitMs, () => reject(unavailable(`no answer within ${limitMs} ms`)));
      const { life } = store;
      const answer = (result: () => T) => {
        const outcome = attempt(result);
        if (this.#isLost()) return;
        this.#back(life, () => {
          timer.cancel();
          if (outcome.ok) resolve(outcome.value);
          else reject(outcome.error);
        });
      };
      const fail = (why: string) => {
        timer.cancel();
        reject(unavailable(why));
      };
      if (!this.#isLost()) this.#there(() => this.#arrive(life, () => begin(store, answer), fail));
    });
  }

  #arrive(life: number, begin: () => void, fail: (why: string) => void): void {
    const { faults, store, timeline, process } = this.#options;
    if (this.#partitioned || faults.frozen) this.#held.push(() => this.#arrive(life, begin, fail));
    else if (faults.down || life !== store.life) {
      timeline.after(1, process, () => fail(faults.down ? 'connection refused' : 'connection reset'));
    } else begin();
  }

  /** Events of one way are taken in their order, whatever the seed does with the same millisecond. */
  #there(run: () => void): void {
    this.#sentUntil = this.#later(this.#sentUntil);
    this.#ordered(this.#requests, this.#sentUntil, undefined, run);
  }

  #back(life: number, run: () => void): void {
    const { process, store } = this.#options;
    this.#answeredUntil = this.#later(this.#answeredUntil);
    this.#ordered(this.#answers, this.#answeredUntil, process, () => {
      if (this.#partitioned) this.#held.push(run);
      else if (life === store.life) run();
      // Else the connection broke before the answer was there: the time limit tells.
    });
  }

  readonly #requests: Sent[] = [];
  readonly #answers: Sent[] = [];

  #ordered(queue: Sent[], at: number, owner: SimProcess | undefined, run: () => void): void {
    const { timeline, random } = this.#options;
    queue.push({ at, run });
    timeline.after(at - timeline.now, owner, () => {
      queue.shift()?.run();
      // Several may come in one packet: then there is no turn of the event loop between them.
      while (queue[0] && queue[0].at <= timeline.now && random.chance(0.5)) queue.shift()?.run();
    });
  }

  #later(than: number): number {
    const { timeline, random, faults } = this.#options;
    return Math.max(than, timeline.now + random.between(0, 2) + random.between(0, faults.slowMs));
  }

  #isLost(): boolean {
    const { random, faults } = this.#options;
    return faults.lossy > 0 && random.chance(faults.lossy);
  }
}

export function unavailable(why: string): RequestError {
  return new RequestError('cmdb_unavailable', undefined, { cause: new Error(why) });
}

type Attempt<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly error: Error };

function attempt<T>(run: () => T): Attempt<T> {
  try {
    return { ok: true, value: run() };
  } catch (error) {
    return { ok: false, error: error as Error };
  }
}
