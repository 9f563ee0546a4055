import { EventEmitter } from 'node:events';
import type { OnReadOpts, Socket } from 'node:net';
import type { Readable } from 'node:stream';
import type { buildConnector } from 'undici';
import { type Breakable, contain, contained } from '../contained.js';
import { readFirst } from '../read-first.js';
import { BodyWriter } from './body-writer.js';
import { headLines } from './request-head.js';
import { ResponseParser, type ResponseSink } from './response-parser.js';
import type { Turns } from './turns.js';

export interface Http1Request {
  readonly method: string;
  /** Request target. */
  readonly path: string;
  /** Flat, in order and case; what frames the request is left out. Without them: Host alone. */
  readonly headers?: readonly string[];
  readonly body?: Readable | undefined;
  /** Of the body; undefined: it is sent in chunks. */
  readonly contentLength?: number | undefined;
  /** The connection carries no other request after it. */
  readonly isLast?: boolean;
  /** Time for the header of its answer, from when all of it was written; in milliseconds. */
  readonly headersTimeout?: number;
}

/** Takes the answer to one request. What it throws fails the request. */
export interface ResponseHandler {
  /** The request is about to be written. */
  onConnect(): void;
  /** `headers`: flat, as sent. Interim answers (1xx) come here, too. */
  onHeaders(statusCode: number, headers: string[], reason: string): void;
  /** A part of the body: bytes from `from` to before `to`, valid during this call only. False holds the app back until `resume`. */
  onData(bytes: Buffer, from: number, to: number): boolean;
  /** What came at once has been handed over, and is not the end. */
  onReadEnd?(): void;
  /** The answer is whole; nothing else comes. */
  onComplete(trailers: string[]): void;
  /** The request has failed; nothing else comes. Must not throw. */
  onError(error: Error): void;
}

export interface Http1ClientOptions {
  readonly host: string;
  readonly port: number;
  /** Its sockets are made with `onread: reading()`. */
  readonly connect: buildConnector.connector;
  readonly turns: Turns;
  /** How long an idle connection is kept if the app does not say; in milliseconds. */
  readonly keptMs: number;
  readonly mostKeptMs: number;
  /** How long before the app it closes one. */
  readonly thresholdMs: number;
}

/** The app has not begun to answer in time. */
export class HeadersTimeout extends Error {
  override readonly name = 'HeadersTimeout';
}

const kClient = Symbol('client');
type Owned = Socket & { [kClient]?: Http1Client | undefined };

/** How sockets of clients are read: all into one buffer, so that none needs its own. What is kept of the bytes is copied. */
export function reading(): OnReadOpts {
  return { buffer: Buffer.allocUnsafeSlow(64 * 1024), callback: onRead };
}

function onRead(this: unknown, length: number, bytes: Uint8Array): boolean {
  const socket = this as Owned;
  const client = socket[kClient];
  if (client) client.read(bytes as Buffer, length);
  // Nobody has asked it anything.
  else socket.destroy();
  return true;
}

/**
 * A client of HTTP/1.1 with one connection, for one request at a time. A request that was not written yet when its connection went
 * is written to another. Emits `connect`, `disconnect`, and `connectionError` if no connection can be made.
 */
export class Http1Client extends EventEmitter implements ResponseSink, Breakable {
  readonly #options: Http1ClientOptions;
  readonly #parser = new ResponseParser(this);
  #socket: Owned | undefined;
  #isConnecting = false;
  #isDestroyed = false;
  /** The request under way, its handler, and the lines of its head. */
  #request: Http1Request | undefined;
  #handler: ResponseHandler | undefined;
  #lines = '';
  #isWritten = false;
  /** While it is being written. */
  #body: BodyWriter | undefined;
  /** How much of it was written when the time for the answer began. */
  #bodyBytes = 0;
  /** The connection has carried a request. */
  #isUsed = false;
  /** The app is held back. */
  #isPaused = false;
  /** When the answer must have begun, in monotonic milliseconds; Infinity if it has, or none is expected. */
  #deadline = Infinity;
  #keptMs: number;

  constructor(options: Http1ClientOptions) {
    super();
    this.#options = options;
    this.#keptMs = options.keptMs;
  }

  /** How long its connection may be idle, in milliseconds. */
  get keptMs(): number {
    return this.#keptMs;
  }

  /** Breaks off a request that is still under way. */
  dispatch(request: Http1Request, handler: ResponseHandler): void {
    if (this.#handler) this.#fail(closed());
    const { method, path, headers = ['Host', this.#options.host] } = request;
    try {
      this.#lines = headLines(method, path, headers);
    } catch (error) {
      return handler.onError(error as Error);
    }
    this.#request = request;
    this.#handler = handler;
    this.#isWritten = false;
    if (this.#isDestroyed) this.#fail(closed());
    else if (this.#socket === undefined) this.#open();
    else if (this.#isUsed) this.#options.turns.next(this);
    else this.write();
  }

  /** Breaks off a handler's request if it is still under way. The handler is called no more. */
  abort(handler: ResponseHandler): void {
    if (this.#handler !== handler) return;
    this.#handler = this.#request = undefined;
    if (this.#isWritten) this.#drop();
  }

  /** The handler takes more of the answer. */
  resume(handler: ResponseHandler): void {
    if (this.#handler !== handler || !this.#isPaused) return;
    this.#isPaused = false;
    this.#socket?.resume();
  }

  /** Breaks off what is under way. */
  destroy(): void {
    this.#isDestroyed = true;
    this.#fail(closed());
  }

  /** Call it now and then; `now` in monotonic milliseconds. Fails a request whose answer has not begun in time. */
  check(now: number): void {
    if (now < this.#deadline) return;
    const body = this.#body;
    // The client has not sent all of its body, or the app has read more of it.
    if (body !== undefined && (this.#socket?.writableNeedDrain !== true || body.bytes > this.#bodyBytes))
      this.#expectHead();
    else this.#fail(new HeadersTimeout('the app sent no header of an answer within requestTimeout'));
  }

  /** Our own code has failed: what was under way does, too. */
  broke(error: Error): void {
    this.#fail(error);
  }

  #open(): void {
    if (this.#isConnecting) return;
    this.#isConnecting = true;
    const { connect, host, port } = this.#options;
    connect({ host, hostname: host, protocol: 'http:', port: String(port) }, (...[error, socket]) => {
      this.#isConnecting = false;
      contain(this, () => {
        if (socket?.destroyed === false) this.#onConnected(socket);
        else this.#onUnconnected(error ?? closed());
      });
    });
  }

  #onUnconnected(error: Error): void {
    this.emit('connectionError');
    this.#fail(error);
  }

  #onConnected(socket: Owned): void {
    if (this.#isDestroyed) return void socket.destroy();
    this.#socket = socket;
    this.#isUsed = false;
    this.#isPaused = false;
    socket[kClient] = this;
    readFirst(socket);
    let failure: Error | undefined;
    const isMine = () => this.#socket === socket;
    socket.on('error', (error) => (failure = error));
    socket.on(
      'end',
      contained(this, () => isMine() && this.#onEnd()),
    );
    socket.on(
      'close',
      contained(this, () => isMine() && this.#onClose(failure)),
    );
    this.emit('connect');
    this.write();
  }

  /** Writes the request under way, if it is not written yet and there is a connection. */
  write(): void {
    const [socket, request, handler] = [this.#socket, this.#request, this.#handler];
    if (socket && request && handler && !this.#isWritten) contain(this, () => this.#write(socket, request, handler));
  }

  #write(socket: Socket, request: Http1Request, handler: ResponseHandler): void {
    const { method, body, contentLength } = request;
    this.#isWritten = this.#isUsed = true;
    handler.onConnect();
    if (this.#handler !== handler) return;
    this.#parser.begin(method === 'HEAD');
    this.#expectHead();
    const lines = `${this.#lines}Connection: ${isLast(request) ? 'close' : 'keep-alive'}\r\n`;
    if (body === undefined) {
      socket.write(methodsWithBody.has(method) ? `${lines}Content-Length: 0\r\n\r\n` : `${lines}\r\n`, 'latin1');
      return;
    }
    this.#body = new BodyWriter(this, socket, lines, body, contentLength, (error) => {
      this.#body = undefined;
      if (error) this.#fail(error);
      else if (this.#deadline !== Infinity) this.#expectHead();
    });
    this.#body.start();
  }

  #expectHead(): void {
    this.#bodyBytes = this.#body?.bytes ?? 0;
    this.#deadline = performance.now() + (this.#request?.headersTimeout ?? Infinity);
  }

  /** What the app has sent. */
  read(bytes: Buffer, length: number): void {
    const handler = this.#handler;
    let failure: Error | undefined;
    try {
      // An app that sends more than it was asked for gets no other request here.
      if (this.#parser.read(bytes, length) < length) this.#drop();
    } catch (error) {
      failure = error as Error;
    }
    try {
      // What came before a fault is passed on, so that the same happens however an answer is cut into pieces.
      if (handler !== undefined && this.#handler === handler) handler.onReadEnd?.();
    } catch (error) {
      failure ??= error as Error;
    }
    if (failure) this.#fail(failure);
  }

  onHead(statusCode: number, reason: string, headers: string[]): void {
    if (statusCode >= 200) this.#deadline = Infinity;
    this.#handler?.onHeaders(statusCode, headers, reason);
  }

  onBody(bytes: Buffer, from: number, to: number): void {
    if (this.#handler?.onData(bytes, from, to) !== false || this.#isPaused) return;
    this.#isPaused = true;
    this.#socket?.pause();
  }

  onEnd(trailers: string[]): void {
    const handler = this.#handler;
    if (handler === undefined) return;
    if (!this.#isKept()) this.#drop();
    else if (this.#isPaused) this.resume(handler);
    this.#handler = this.#request = undefined;
    try {
      handler.onComplete(trailers);
    } catch (error) {
      this.#drop();
      handler.onError(error as Error);
    }
  }

  /** Whether the connection may carry another request: the app has read all of this one, and will keep it for a while. */
  #isKept(): boolean {
    const { isLast: isLastAnswer, keptSeconds } = this.#parser;
    if (isLastAnswer || isLast(this.#request) || this.#body !== undefined || this.#socket?.writableLength !== 0)
      return false;
    const { keptMs, mostKeptMs, thresholdMs } = this.#options;
    this.#keptMs = keptSeconds === undefined ? keptMs : Math.min(keptSeconds * 1_000 - thresholdMs, mostKeptMs);
    return this.#keptMs > 0;
  }

  #onEnd(): void {
    if (this.#parser.end()) this.#drop();
    else this.#fail(closed());
  }

  #onClose(failure: Error | undefined): void {
    if (this.#isWritten) this.#fail(failure ?? closed());
    else this.#drop();
  }

  #fail(error: Error): void {
    const handler = this.#handler;
    this.#handler = this.#request = undefined;
    this.#drop();
    handler?.onError(error);
  }

  /** Ends the connection. */
  #drop(): void {
    const socket = this.#socket;
    this.#deadline = Infinity;
    this.#parser.stop();
    this.#body?.stop();
    this.#body = undefined;
    if (socket === undefined) return;
    this.#socket = undefined;
    socket[kClient] = undefined;
    socket.destroy();
    this.emit('disconnect');
    if (this.#handler && !this.#isWritten) this.#open();
  }
}

/** Their requests say so if they have none. */
const methodsWithBody = new Set(['POST', 'PUT', 'PATCH']);

/** Some apps send a body to HEAD. */
function isLast(request: Http1Request | undefined): boolean {
  return request?.isLast === true || request?.method === 'HEAD';
}

function closed(): Error {
  return new Error('the app closed the connection');
}
