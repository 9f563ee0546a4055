interface Waiting {
  readonly app: string;
  readonly begin: () => void;
}

/** Orders at a time; each is mostly waiting for its authority. */
const mostRunning = 20;
const mostRunningOfApp = 2;
/** That run or wait. */
const most = 500;
const mostOfApp = 25;

/** Lets orders run a few at a time, so that those of one app, however slow, do not hold up those of others. */
export class OrderTurns {
  readonly #waiting: Waiting[] = [];
  readonly #running = new Map<string, number>();
  readonly #all = new Map<string, number>();
  #runs = 0;
  #size = 0;

  /** Rejects if too many wait already. */
  async run<T>(app: string, work: () => Promise<T>): Promise<T> {
    if (this.#size >= most || (this.#all.get(app) ?? 0) >= mostOfApp)
      throw new Error('too many certificates are ordered at once');
    this.#size += 1;
    count(this.#all, app, 1);
    try {
      await this.#turn(app);
      try {
        return await work();
      } finally {
        this.#runs -= 1;
        count(this.#running, app, -1);
        this.#beginNext();
      }
    } finally {
      this.#size -= 1;
      count(this.#all, app, -1);
    }
  }

  async #turn(app: string): Promise<void> {
    if (!this.#mayRun(app)) await new Promise<void>((begin) => this.#waiting.push({ app, begin }));
    else this.#started(app);
  }

  #beginNext(): void {
    const index = this.#waiting.findIndex(({ app }) => this.#mayRun(app));
    if (index < 0) return;
    const [next] = this.#waiting.splice(index, 1);
    // Counted at once: another may look before it runs.
    this.#started(next!.app);
    next!.begin();
  }

  #mayRun(app: string): boolean {
    return this.#runs < mostRunning && (this.#running.get(app) ?? 0) < mostRunningOfApp;
  }

  #started(app: string): void {
    this.#runs += 1;
    count(this.#running, app, 1);
  }
}

function count(map: Map<string, number>, key: string, change: number): void {
  const now = (map.get(key) ?? 0) + change;
  if (now === 0) map.delete(key);
  else map.set(key, now);
}
