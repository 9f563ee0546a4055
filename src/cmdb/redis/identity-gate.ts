/**
 * Holds reads and writes back until it is known which store answers. After a lost connection that may be a replaced store, which came
 * back empty or took over: nothing may be read from it as from the old one before a beat has told its identity.
 */
export class IdentityGate {
  #connections = 0;
  /** The connection over which a beat was last answered; undefined before the first beat, when the gate is open. */
  #told: number | undefined;
  #waiting: (() => void)[] = [];

  /** Number of the current connection. */
  get connection(): number {
    return this.#connections;
  }

  /** Call it when the connection is lost. */
  lost(): void {
    this.#connections += 1;
  }

  /** Call it when a beat was answered over this connection. */
  told(connection: number): void {
    this.#told = connection;
    if (!this.#isOpen) return;
    for (const go of this.#waiting.splice(0)) go();
  }

  /** Resolves when the store is known; rejects after `limitMs`. */
  async pass(limitMs: number): Promise<void> {
    if (this.#isOpen) return;
    await new Promise<void>((resolve, reject) => {
      const go = () => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(() => {
        this.#waiting = this.#waiting.filter((other) => other !== go);
        reject(new Error('it is not known yet which store answers since the connection was lost'));
      }, limitMs);
      this.#waiting.push(go);
    });
  }

  get #isOpen(): boolean {
    return this.#told === undefined || this.#told === this.#connections;
  }
}
