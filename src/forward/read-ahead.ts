import type { ClientRequest, ClientResponse } from './client-message.js';

/** Bytes of one body that are read before the app takes them. */
export const aheadBytes = 512 * 1024;
/** The same for all bodies of a process; beyond it none is read ahead. */
export const aheadBytesInAll = 64 * 1024 * 1024;

const kAhead = Symbol('ahead');

type Reading = ClientRequest & { [kAhead]?: Ahead };

/**
 * Reads bodies of requests that wait, each into a buffer of its own: that a client has left is seen only by reading its connection.
 * `takeAhead` gives what was read.
 */
export class ReadAhead {
  #reserved = 0;

  /** Bytes of the buffers that are in use. */
  get reserved(): number {
    return this.#reserved;
  }

  /** Begins to read, if there is room for it. Harmless twice. */
  begin(req: ClientRequest, res: ClientResponse, contentLength: number | undefined): void {
    const bytes = Math.min(contentLength ?? aheadBytes, aheadBytes);
    if ((req as Reading)[kAhead] || req.destroyed || this.#reserved + bytes > aheadBytesInAll) return;
    this.#reserved += bytes;
    const ahead = new Ahead(req, bytes, () => (this.#reserved -= bytes));
    (req as Reading)[kAhead] = ahead;
    res.once('close', () => ahead.drop());
  }
}

/** Whether a body was read ahead and not taken yet. */
export function isReadAhead(req: Reading): boolean {
  return req[kAhead] !== undefined;
}

/** Ends reading ahead and returns what was read; undefined if nothing was, or it was taken before. */
export function takeAhead(req: Reading): Buffer | undefined {
  return req[kAhead]?.take();
}

class Ahead {
  readonly #req: Reading;
  readonly #onTaken: () => void;
  /** One buffer, so that bytes that come one by one cost no more than others. */
  readonly #bytes: Buffer;
  #length = 0;

  constructor(req: Reading, size: number, onTaken: () => void) {
    this.#req = req;
    this.#bytes = Buffer.allocUnsafeSlow(size);
    this.#onTaken = onTaken;
    req.on('data', this.#onData);
  }

  take(): Buffer {
    this.stop();
    this.drop();
    return this.#bytes.subarray(0, this.#length);
  }

  /** The body is not needed. What still comes may be read and thrown away. */
  drop(): void {
    if (this.#req[kAhead] !== this) return;
    delete this.#req[kAhead];
    this.#req.off('data', this.#onData);
    this.#onTaken();
  }

  stop(): void {
    this.#req.pause();
    this.#req.off('data', this.#onData);
  }

  readonly #onData = (chunk: Buffer): void => {
    const taken = chunk.copy(this.#bytes, this.#length);
    this.#length += taken;
    if (this.#length < this.#bytes.length) return;
    this.stop();
    if (taken < chunk.length) this.#req.unshift(chunk.subarray(taken));
  };
}

/** Reads no further ahead: the rest of the body stays in the request. */
export function endReadAhead(req: Reading): void {
  req[kAhead]?.stop();
}
