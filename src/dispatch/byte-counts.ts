import type { Socket } from 'node:net';

interface Counted {
  readonly read: number;
  readonly written: number;
}

/** Counts each connection's bytes by request: those since the request before it, so that they add up to the connection's. */
export class ByteCounts {
  readonly #counted = new WeakMap<Socket, Counted>();

  /** What came and went on the connection since it was asked last. */
  take(socket: Socket): Counted {
    const { bytesRead: read, bytesWritten: written } = socket;
    const before = this.#counted.get(socket);
    this.#counted.set(socket, { read, written });
    // A connection that is closed may no longer know what it wrote.
    const since = (now: number, then = 0) => (Number.isFinite(now) ? Math.max(0, now - then) : 0);
    return { read: since(read, before?.read), written: since(written, before?.written) };
  }
}
