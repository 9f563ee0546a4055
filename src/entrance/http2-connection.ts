import { METHODS } from 'node:http';
import {
  constants,
  type IncomingHttpHeaders,
  performServerHandshake,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import type { TLSSocket } from 'node:tls';
import type { ClientRequest, ClientResponse } from '../forward/client-message.js';
import { answerError } from '../forward/error-answer.js';
import { StreamRequest } from '../forward/http2/stream-request.js';
import { StreamResponse } from '../forward/http2/stream-response.js';
import { RequestError } from '../model/errors.js';
import { type Unasked, UnaskedFrames } from './unasked-frames.js';

export interface Http2Options {
  readonly maxHeaderSizeBytes: number;
  readonly maxHeaderLines: number;
  /** Until the first request. */
  readonly headersTimeoutMs: number;
  /** Between requests. */
  readonly keepAliveTimeoutMs: number;
  readonly responseStallTimeoutMs: number;
  readonly onRequest: (req: ClientRequest, res: ClientResponse) => void;
  /** A request was answered here. */
  readonly onRefused: (error: RequestError, socket: TLSSocket) => void;
  /** The connection was closed, as its client sent too much that asks for nothing. */
  readonly onFlood: (socket: TLSSocket, kind: Unasked) => void;
}

/** Requests of one connection that are served at once. */
export const mostStreams = 100;
/** How long an ending connection waits for its client, in milliseconds. */
const lingerMs = 5_000;
/** How long a client that is to go has to hear so, in milliseconds. */
const toldMs = 100;
const noLastStream = 2 ** 31 - 1;
/** Node ends the connection if a header is longer, by a count of 12 bytes more for each field: those of apps, of 64 KiB, never are. */
const longestSent = 512 * 1024;
const methods = new Set(METHODS);

/**
 * A client's connection that speaks HTTP/2: its requests go on like those of HTTP/1.1. node:http2 refuses what RFC 9113 calls malformed, and
 * bounds what a client may leave unread; what it lets through without end is bounded here.
 */
export class Http2Connection {
  readonly #socket: TLSSocket;
  readonly #options: Http2Options;
  readonly #session: ServerHttp2Session;
  readonly #unasked: UnaskedFrames;
  #streams = 0;
  #isClosing = false;
  #isFlooded = false;
  #idle: NodeJS.Timeout | undefined;

  constructor(socket: TLSSocket, options: Http2Options) {
    this.#socket = socket;
    this.#options = options;
    this.#unasked = new UnaskedFrames(performance.now(), bytesOf(socket));
    const session = performServerHandshake(socket, {
      maxHeaderListPairs: 2 * options.maxHeaderLines,
      maxSendHeaderBlockLength: longestSent,
      settings: {
        enablePush: false,
        maxConcurrentStreams: mostStreams,
        // It counts 32 bytes more for each field, and is a promise to clients that keep it; the rest is answered 431.
        maxHeaderListSize: options.maxHeaderSizeBytes + 32 * options.maxHeaderLines,
      },
    });
    this.#session = session;
    letHear(session);
    // What a client does wrong ends its connection; its streams tell it to the rest.
    session.on('error', () => {});
    const onStream = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, _flags: number, raw: string[]) =>
      this.#onStream(stream, headers, raw);
    session.on('stream', onStream as (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void);
    session.on('remoteSettings', () => this.#spend('settings'));
    session.on('ping', () => this.#spend('ping'));
    socket.once('close', () => clearTimeout(this.#idle));
    this.#awaitRequest(options.headersTimeoutMs);
  }

  /** No request is under way on it. */
  get isIdle(): boolean {
    return this.#streams === 0;
  }

  /**
   * Takes no further request, and ends when those under way have their answers. First the client is told to send no more, and only when it
   * must know that, which request was the last one: RFC 9113 §6.8.
   */
  close(): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    const session = this.#session;
    // Its client said goodbye, or broke a rule, and may still keep the connection.
    if (session.destroyed) return this.#linger();
    session.goaway(constants.NGHTTP2_NO_ERROR, noLastStream);
    const end = () => {
      clearTimeout(timer);
      if (!session.destroyed) session.close();
      if (this.isIdle) this.#linger();
    };
    const timer = setTimeout(end, lingerMs).unref();
    try {
      session.ping(end);
    } catch {
      end();
    }
  }

  destroy(): void {
    this.#session.destroy();
    this.#socket.destroy();
  }

  #onStream(stream: ServerHttp2Stream, headers: IncomingHttpHeaders, raw: readonly string[]): void {
    const { responseStallTimeoutMs: stallMs, maxHeaderSizeBytes, onRequest, onRefused } = this.#options;
    this.#streams += 1;
    clearTimeout(this.#idle);
    const req = new StreamRequest(stream, headers, raw, this.#socket);
    const res = new StreamResponse(stream, {
      isToHead: req.method === 'HEAD',
      isRequestComplete: () => req.complete,
      stallMs,
      endConnection: () => this.close(),
    });
    stream.once('close', () => this.#onStreamClose(res));
    const refusal =
      refusalOf(req) ?? (bytesIn(raw) > maxHeaderSizeBytes ? new RequestError('headers_too_large') : undefined);
    if (refusal === undefined) return onRequest(req, res);
    answerError(req, res, refusal);
    onRefused(refusal, this.#socket);
  }

  #onStreamClose(res: StreamResponse): void {
    this.#streams -= 1;
    // Asking and taking it back costs a client nothing, and us a request: CVE-2023-44487.
    if (!res.writableEnded && !res.isBrokenOff) this.#spend('reset');
    if (!this.isIdle) return;
    if (this.#isClosing) this.#linger();
    else this.#awaitRequest(this.#options.keepAliveTimeoutMs);
  }

  #awaitRequest(ms: number): void {
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.close(), ms).unref();
  }

  #spend(kind: Unasked): void {
    const socket = this.#socket;
    const session = this.#session;
    if (this.#isFlooded || session.destroyed) return;
    if (this.#unasked.spend(kind, performance.now(), bytesOf(socket))) return;
    this.#isFlooded = this.#isClosing = true;
    this.#options.onFlood(socket, kind);
    // From here on no further request is taken.
    session.goaway(constants.NGHTTP2_ENHANCE_YOUR_CALM);
    setTimeout(() => {
      session.destroy(new Error(`too much of ${kind}`), constants.NGHTTP2_ENHANCE_YOUR_CALM);
      this.#linger();
    }, toldMs).unref();
  }

  /** The client has a moment to read what it was told, and to end its side. */
  #linger(): void {
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => this.#socket.destroy(), lingerMs).unref();
  }
}

/** Errors of nghttp2 from here on leave it unable to tell anything. */
const fatal = -900;

/** Lets a client hear what it did wrong, which node would not wait for if something else is being written. */
function letHear(session: ServerHttp2Session): void {
  const destroy = session.destroy.bind(session);
  let isDying = false;
  session.destroy = (error?: NodeJS.ErrnoException, code?: number) => {
    // Of nghttp2, which has noted what to tell, and reads nothing more.
    const isTold = error?.code === 'ERR_HTTP2_ERROR' && (error.errno ?? fatal) > fatal;
    if (!isTold) return code === undefined ? destroy(error) : destroy(error, code);
    if (isDying) return;
    isDying = true;
    setTimeout(() => destroy(error), toldMs).unref();
  };
}

function bytesOf({ bytesRead, bytesWritten }: TLSSocket): number {
  return bytesRead + bytesWritten;
}

function bytesIn(fields: readonly string[]): number {
  let bytes = 0;
  for (const text of fields) bytes += text.length;
  return bytes;
}

/** Why a request that RFC 9113 allows is not taken; what HTTP/1.1 cannot have either is refused with the rest of it. */
function refusalOf({ method, url, headers }: StreamRequest): RequestError | undefined {
  if (!methods.has(method)) return new RequestError('method_unknown');
  if (method === 'CONNECT') return undefined;
  const scheme = headers[':scheme'];
  if (scheme !== 'https' && scheme !== 'http') return new RequestError('bad_request', 'The scheme is not https.');
  if (!url.startsWith('/') && url !== '*')
    return new RequestError('bad_request', 'The path does not begin with a slash.');
  return undefined;
}
