/**
 * Whether it is known which store answers. A connection that was lost may lead to another one afterwards, which came back
 * empty or took over: until a beat has told the node of it, nothing may be read from it as if it were the old one.
 */
export class IdentityGate {
  #connections = 0;
  /** The connection whose store a beat has told; undefined: nobody follows the identity. */
  #told: number | undefined;
  #waiting: (() => void)[] = [];

  /** Names the present connection. */
  get connection(): number {
    return this.#connections;
  }

  /** The connection was lost. */
  lost(): void {
    this.#connections += 1;
  }

  /** A beat was answered over this connection. */
  told(connection: number): void {
    this.#told = connection;
    if (!this.#isOpen) return;
    for (const go of this.#waiting.splice(0)) go();
  }

  /** Resolves when it is known, at the latest after `limitMs`: then rejects. */
  async pass(limitMs: number): Promise<void> {
    if (this.#isOpen) return;
    await new Promise<void>((resolve, reject) => {
      const go = () => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(() => {
        this.#waiting = this.#waiting.filter((other) => other !== go);
        reject(new Error('which store answers since the connection was lost is not known yet'));
      }, limitMs);
      this.#waiting.push(go);
    });
  }

  get #isOpen(): boolean {
    return this.#told === undefined || this.#told === this.#connections;
  }
}
