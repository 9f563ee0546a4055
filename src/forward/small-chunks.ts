import type { Readable, Writable } from 'node:stream';

/** Chunks up to this long, in bytes, are copied together: one write costs less than two. */
export const smallBytes = 8 * 1024;
/** Bytes after which gathered chunks are passed on. */
export const gatheredBytes = 16 * 1024;

/**
 * Small chunks of a body that came together, to be passed on as one. Otherwise each byte of a body sent byte by byte would cost a
 * write of its own, and a hundred bytes in every buffer.
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

  /** Removes and returns all that waits; undefined if nothing does. */
  take(): Buffer | undefined {
    const first = this.#first;
    if (first === undefined) return undefined;
    const whole = this.#more === undefined ? first : Buffer.concat([first, ...this.#more], this.#bytes);
    this.#first = this.#more = undefined;
    this.#bytes = 0;
    return whole;
  }
}

/** Like `pipe`, but does not end `to`, and passes on small chunks that came together as one. */
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
