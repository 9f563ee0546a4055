import type { Random } from './random.js';

/** Whose events they are: a frozen process gets them when it thaws, a dead one never. */
export interface Fate {
  readonly state: 'running' | 'frozen' | 'dead';
  readonly held: Event[];
}

export interface Event {
  at: number;
  /** Among those of the same millisecond the seed decides. */
  order: number;
  readonly owner: Fate | undefined;
  readonly run: () => void;
  cancelled: boolean;
}

/** Steps per turn of node's event loop; promises run between any two. */
const batch = 128;

/** True time in whole milliseconds, and everything that is going to happen. */
export class Timeline {
  readonly #random: Random;
  readonly #heap: Event[] = [];
  now = 0;
  steps = 0;

  constructor(random: Random) {
    this.#random = random;
  }

  after(delayMs: number, owner: Fate | undefined, run: () => void): Event {
    const event = {
      at: this.now + Math.max(0, Math.ceil(delayMs)),
      order: this.#random.next(),
      owner,
      run,
      cancelled: false,
    };
    this.#push(event);
    return event;
  }

  /** What was held back happens now, in an order of the seed's choice. */
  release(held: Event[]): void {
    for (const event of held.splice(0)) {
      event.at = this.now;
      event.order = this.#random.next();
      this.#push(event);
    }
  }

  /** Lets time pass until `end`, or until `isOver` says so. Rejects with what an event throws. */
  run(end: number, isOver: () => boolean = () => false): Promise<void> {
    return new Promise((resolve, reject) => {
      let over = false;
      const step = () => {
        if (over) return;
        try {
          if (!isOver() && this.#step(end)) return;
          over = true;
          resolve();
        } catch (error) {
          over = true;
          reject(error as Error);
        }
      };
      const turn = () => {
        for (let index = 0; index < batch; index += 1) setImmediate(step);
        setImmediate(() => {
          if (!over) turn();
        });
      };
      turn();
    });
  }

  #step(end: number): boolean {
    for (;;) {
      const event = this.#heap[0];
      if (!event || event.at > end) {
        this.now = end;
        return false;
      }
      this.#pop();
      if (event.cancelled || event.owner?.state === 'dead') continue;
      if (event.owner?.state === 'frozen') {
        event.owner.held.push(event);
        continue;
      }
      this.now = event.at;
      this.steps += 1;
      event.run();
      return true;
    }
  }

  #push(event: Event): void {
    const heap = this.#heap;
    let index = heap.length;
    heap.push(event);
    while (index > 0) {
      const parent = (index - 1) >> 1;
      const above = heap[parent] as Event;
      if (!isBefore(event, above)) break;
      heap[index] = above;
      index = parent;
    }
    heap[index] = event;
  }

  #pop(): void {
    const heap = this.#heap;
    const last = heap.pop() as Event;
    if (heap.length === 0) return;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Event, heap[child] as Event)) child += 1;
      if (!isBefore(heap[child] as Event, last)) break;
      heap[index] = heap[child] as Event;
      index = child;
    }
    heap[index] = last;
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
