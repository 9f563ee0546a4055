import { EventEmitter } from 'node:events';
import type { OutgoingHttpHeader, OutgoingHttpHeaders } from 'node:http';
import { constants, type ServerHttp2Stream } from 'node:http2';
import { RequestError } from '../../model/errors.js';
import type { ClientResponse } from '../client-message.js';
import { watchStall } from '../stall-watch.js';
import { addField, type Fields, fieldsOf } from './outgoing-fields.js';

const { NGHTTP2_CANCEL, NGHTTP2_INTERNAL_ERROR, NGHTTP2_NO_ERROR } = constants;

const hasNoBody = (statusCode: number) => statusCode === 204 || statusCode === 205 || statusCode === 304;

export interface StreamResponseOptions {
  readonly isToHead: boolean;
  /** Whether all of the request has come. */
  readonly isRequestComplete: () => boolean;
  /** Time after which a client that takes nothing of what waits for it is given up. */
  readonly stallMs: number;
  /** Lets the connection take no further request. */
  readonly endConnection: () => void;
}

/**
 * The answer on a stream of HTTP/2. Its header waits for what comes with it: an answer without a body ends with its header, which is
 * how gRPC tells an error. Gives up a client that takes nothing, and one that is still sending when it has its answer is told to stop.
 */
export class StreamResponse extends EventEmitter implements ClientResponse {
  statusCode = 200;
  shouldKeepAlive = true;
  readonly chunkedEncoding = true;
  readonly socket = null;
  /** What was given to the stream. */
  bytesWritten = 0;
  readonly #stream: ServerHttp2Stream;
  readonly #options: StreamResponseOptions;
  /** The header while it waits. */
  #fields: Fields | undefined;
  #trailers: Fields | undefined;
  #hasHead = false;
  #isEnded = false;
  #isBroken = false;
  #isWatched = false;

  constructor(stream: ServerHttp2Stream, options: StreamResponseOptions) {
    super();
    this.#stream = stream;
    this.#options = options;
    // How it ended is told by `close`.
    stream.on('error', () => {});
    stream.on('close', () => this.emit('close'));
    stream.on('drain', () => this.emit('drain'));
    stream.on('finish', () => this.#isEnded && this.#onFinish());
    stream.on('wantTrailers', () => this.#sendTrailers());
    // Node would wait until all that came before the end is read.
    stream.on('aborted', () => this.#isBroken || stream.destroy());
  }

  get destroyed(): boolean {
    return this.#isBroken || this.#stream.destroyed;
  }

  /** We broke it off. */
  get isBrokenOff(): boolean {
    return this.#isBroken;
  }

  get headersSent(): boolean {
    return this.#hasHead;
  }

  get writableEnded(): boolean {
    return this.#isEnded;
  }

  get writableFinished(): boolean {
    return this.#isEnded && this.#stream.writableFinished;
  }

  get writableNeedDrain(): boolean {
    return this.#stream.writableNeedDrain;
  }

  get writableLength(): number {
    return this.#stream.writableLength;
  }

  get writableHighWaterMark(): number {
    return this.#stream.writableHighWaterMark;
  }

  writeHead(
    statusCode: number,
    reasonOrHeaders?: string | OutgoingHttpHeaders | OutgoingHttpHeader[],
    headers?: OutgoingHttpHeaders | OutgoingHttpHeader[],
  ): this {
    // Node would say so when it sends it, and as if it were our fault.
    if (!(statusCode >= 200 && statusCode <= 599)) {
      const detail = `The app answered with the status ${statusCode}, which cannot be sent over HTTP/2.`;
      throw new RequestError('upstream_reset', detail);
    }
    const fields = fieldsOf(typeof reasonOrHeaders === 'string' ? headers : reasonOrHeaders);
    // It has no body, and clients do not know that it may have a length all the same.
    if (statusCode === 205) delete fields['content-length'];
    fields[':status'] = String(statusCode);
    this.statusCode = statusCode;
    this.#fields = fields;
    this.#hasHead = true;
    return this;
  }

  /** An interim answer. `headers`: flat. */
  inform(statusCode: number, headers: readonly string[] = []): void {
    const stream = this.#stream;
    if (this.destroyed || stream.closed || stream.headersSent) return;
    stream.additionalHeaders({ ...fieldsOf(headers), ':status': statusCode });
  }

  writeContinue(): void {
    this.inform(100);
  }

  flushHeaders(): void {
    if (this.#fields !== undefined) this.#respond(this.#fields, false);
  }

  write(chunk: string | Uint8Array, encoding: BufferEncoding = 'utf8'): boolean {
    this.flushHeaders();
    if (this.#isDone()) return true;
    this.#give(chunk, encoding);
    if (!this.#stream.writableNeedDrain) return true;
    this.#watchStall();
    return false;
  }

  addTrailers(trailers: readonly [string, string][]): void {
    const fields = (this.#trailers ??= Object.create(null) as Fields);
    for (const [name, value] of trailers) addField(fields, name, value);
  }

  end(chunk?: string, encoding: BufferEncoding = 'utf8'): this {
    if (this.#isEnded) return this;
    this.#isEnded = true;
    const fields = this.#fields;
    const isEmpty = chunk === undefined || chunk === '';
    if (fields !== undefined) this.#respond(fields, isEmpty && this.#trailers === undefined);
    if (!this.#isDone()) {
      if (!isEmpty) this.#give(chunk, encoding);
      this.#stream.end();
    }
    this.#watchStall();
    // Node ended it when it had read the method.
    if (this.#options.isToHead) this.#onFinish();
    return this;
  }

  destroy(code = NGHTTP2_INTERNAL_ERROR): this {
    if (this.destroyed) return this;
    this.#isBroken = true;
    this.#stream.close(code);
    // Node would wait until the reset is sent: for ever, if the client takes nothing of its connection.
    this.#stream.destroy();
    return this;
  }

  /** Its connection takes no further request. */
  endConnection(): void {
    this.#options.endConnection();
  }

  /** Node calls for them, so that nobody else would catch what it thinks of an app's trailers. */
  #sendTrailers(): void {
    try {
      this.#stream.sendTrailers(this.#trailers ?? {});
    } catch {
      this.destroy();
    }
  }

  /** Nothing more of it is taken by the stream. */
  #isDone(): boolean {
    const stream = this.#stream;
    return this.destroyed || stream.closed || stream.writableEnded;
  }

  #give(chunk: string | Uint8Array, encoding: BufferEncoding): void {
    this.bytesWritten += chunk.length;
    if (typeof chunk === 'string') this.#stream.write(chunk, encoding);
    else this.#stream.write(chunk);
  }

  #respond(fields: Fields, isWhole: boolean): void {
    this.#fields = undefined;
    const stream = this.#stream;
    if (this.destroyed || stream.closed) return;
    const isBodyless = this.#options.isToHead || hasNoBody(this.statusCode);
    const endStream = isWhole || isBodyless;
    // Only a message without a length may have trailers that nobody knows of yet.
    const waitForTrailers =
      !endStream && (this.#isEnded ? this.#trailers !== undefined : !('content-length' in fields));
    stream.respond(fields, { endStream, waitForTrailers });
  }

  /** All of the answer was sent. */
  #onFinish(): void {
    this.emit('finish');
    // A client is told to stop only when it has the whole answer: RFC 9113 §8.1.
    setImmediate(() => {
      const stream = this.#stream;
      if (stream.destroyed || this.#options.isRequestComplete()) return;
      stream.close(NGHTTP2_NO_ERROR);
      // Node would keep it, and what came of its body, until that is read.
      stream.removeAllListeners('data').resume();
    });
  }

  #watchStall(): void {
    if (this.#isWatched || this.destroyed) return;
    this.#isWatched = true;
    const stream = this.#stream;
    const isWaiting = () => stream.writableNeedDrain || this.#isEnded;
    watchStall(this, this.#options.stallMs, isWaiting, () => this.destroy(NGHTTP2_CANCEL));
  }
}
