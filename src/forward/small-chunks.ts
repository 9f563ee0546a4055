import type { Readable, Writable } from 'node:stream';

/** Chunks up to this long, in bytes, are copied together: one write costs less than two. */
export const smallBytes = 8 * 1024;
/** So much is gathered of them at most, about; in bytes. */
export const gatheredBytes = 16 * 1024;

/**
 * The small chunks of a body that come in one piece, to be passed on as one. Whoever sends a body byte by byte would otherwise
 * have each byte cost a hundred in every buffer it passes through, and a write of its own.
 */
export class SmallChunks {
  #first: Buffer | undefined;
  #more: Buffer[] | undefined;
  #bytes = 0;

  /** How many bytes wait. */
  get bytes(): number {
    return this.#bytes;
  }

  add(chunk: Buffer): void {
    if (this.#first === undefined) this.#first = chunk;
    else (this.#more ??= []).push(chunk);
    this.#bytes += chunk.length;
  }

  /** All that waits, which then no longer does; undefined where nothing does. */
  take(): Buffer | undefined {
    const first = this.#first;
    if (first === undefined) return undefined;
    const whole = this.#more === undefined ? first : Buffer.concat([first, ...this.#more], this.#bytes);
    this.#first = this.#more = undefined;
    this.#bytes = 0;
    return whole;
  }
}

/** Like `pipe` without its end: passes a body on as fast as it is taken, small chunks that came in one piece as one. */
export function passGathered(body: Readable, to: Writable): void {
  const waiting = new SmallChunks();
  const write = (chunk: Buffer) => void (to.write(chunk) || body.pause());
  const flush = () => {
    const chunk = waiting.take();
    if (chunk !== undefined && !to.destroyed) write(chunk);
  };
  body.on('data', (chunk: Buffer) => {
    if (waiting.bytes === 0) setImmediate(flush);
    waiting.add(chunk);
    if (waiting.bytes >= gatheredBytes) flush();
  });
  body.on('end', flush);
  to.on('drain', () => body.resume());
}
