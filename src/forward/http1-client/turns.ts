/** A request that waits to be written. */
interface Waiting {
  write(): void;
}

/**
 * Lets requests wait until the event loop has handed over what came on all connections, so that nothing that an app sent on an
 * idle one is taken for the answer to the next request.
 */
export class Turns {
  #waiting: Waiting[] = [];

  next(request: Waiting): void {
    if (this.#waiting.push(request) === 1) setImmediate(writeAll, this);
  }

  writeAll(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const request of waiting) request.write();
  }
}

function writeAll(turns: Turns): void {
  turns.writeAll();
}
