import type { Socket } from 'node:net';
import type { Readable } from 'node:stream';
import { type Breakable, contained } from '../contained.js';
import { smallBytes } from '../small-chunks.js';

/**
 * Writes a request with its body, as fast as the app reads: by `contentLength`, or in chunks if that is undefined. The head goes
 * with the beginning of the body if that is there.
 */
export class BodyWriter {
  readonly #socket: Socket;
  readonly #body: Readable;
  readonly #contentLength: number | undefined;
  readonly #onDone: (error?: Error) => void;
  readonly #onData: (chunk: Buffer) => void;
  readonly #onEnd: () => void;
  readonly #onError: (error: Error) => void;
  readonly #onDrain: () => void;
  /** Until it is written. */
  #head: string;
  /** What was written of the body. */
  bytes = 0;
  #later: NodeJS.Immediate | undefined;

  /** `lines`: of the head. Calls `onDone` once all is written, or the body has failed, unless it is stopped before. */
  constructor(
    owner: Breakable,
    socket: Socket,
    lines: string,
    body: Readable,
    contentLength: number | undefined,
    onDone: (error?: Error) => void,
  ) {
    this.#socket = socket;
    this.#body = body;
    this.#contentLength = contentLength;
    this.#onDone = onDone;
    this.#head =
      contentLength === undefined
        ? `${lines}Transfer-Encoding: chunked\r\n\r\n`
        : `${lines}Content-Length: ${contentLength}\r\n\r\n`;
    this.#onData = contained(owner, (chunk) => this.#write(chunk));
    this.#onEnd = contained(owner, () => this.#finish());
    this.#onError = contained(owner, (error) => this.#end(error));
    this.#onDrain = () => void body.resume();
  }

  start(): void {
    if (this.#body.errored) return this.#end(this.#body.errored);
    this.#socket.on('drain', this.#onDrain);
    this.#body.on('end', this.#onEnd).on('error', this.#onError).on('data', this.#onData);
    // A body hands over what it has in the first of these: see RequestBody.
    this.#later = setImmediate(() => (this.#later = setImmediate(() => this.#writeHead())));
  }

  stop(): void {
    clearImmediate(this.#later);
    this.#socket.off('drain', this.#onDrain);
    this.#body.off('end', this.#onEnd).off('error', this.#onError).off('data', this.#onData);
  }

  #writeHead(): void {
    const head = this.#head;
    this.#head = '';
    if (head !== '') this.#socket.write(head, 'latin1');
  }

  #write(chunk: Buffer): void {
    if (chunk.length === 0) return;
    const isChunked = this.#contentLength === undefined;
    this.bytes += chunk.length;
    // What is beyond it would be the next request.
    if (!isChunked && this.bytes > (this.#contentLength as number)) return this.#end(mismatch());
    const before = isChunked ? `${this.#head}${chunk.length.toString(16)}\r\n` : this.#head;
    const after = isChunked ? '\r\n' : '';
    this.#head = '';
    const socket = this.#socket;
    if (chunk.length <= smallBytes) socket.write(`${before}${chunk.toString('latin1')}${after}`, 'latin1');
    else {
      socket.cork();
      if (before !== '') socket.write(before, 'latin1');
      socket.write(chunk);
      if (after !== '') socket.write(after, 'latin1');
      socket.uncork();
    }
    if (socket.writableNeedDrain) this.#body.pause();
  }

  #finish(): void {
    const isChunked = this.#contentLength === undefined;
    if (!isChunked && this.bytes !== this.#contentLength) return this.#end(mismatch());
    const rest = isChunked ? `${this.#head}0\r\n\r\n` : this.#head;
    if (rest !== '') this.#socket.write(rest, 'latin1');
    this.#end();
  }

  #end(error?: Error): void {
    this.stop();
    this.#onDone(error);
  }
}

function mismatch(): Error {
  return new Error('the body of the request is shorter or longer than its Content-Length');
}
