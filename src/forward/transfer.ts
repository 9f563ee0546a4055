import type { CutReason, Occupant } from '../uses/seat.js';
import { RequestError } from '../model/errors.js';
import { noteBusy } from './busy.js';
import type { ClientRequest, ClientResponse } from './client-message.js';
import { type Breakable, contain } from './contained.js';
import { endConnection } from './end-connection.js';
import { StreamResponse } from './http2/stream-response.js';
import type { ForwardOutcome, HttpExchange } from './exchange.js';
import type { RequestBody } from './request-body.js';
import { reset } from './reset.js';
import { addMark } from './affinity-mark.js';
import { hintHeaders, responseHeaders, responseTrailers } from './response-headers.js';
import { watchStall } from './stall-watch.js';
import type { Http1Request, ResponseHandler } from './http1-client/http1-client.js';
import { endlessInterim, mostInterim } from './interim.js';
import { smallBytes } from './small-chunks.js';
import { upstreamError } from './upstream-error.js';
import type { Upstream, UpstreamPool } from './upstreams.js';

const kTransfer = Symbol('transfer');
const kListening = Symbol('listening for the end');

type Carrying = ClientResponse & { [kTransfer]?: Transfer | undefined; [kListening]?: true };

/** A reason phrase that node can write. */
const printable = /^[\t\x20-\x7e\x80-\xff]*$/;

const hasNoBody = (statusCode: number) => statusCode === 204 || statusCode === 304;

/** Hints of one answer that are passed on. */
const mostHints = 16;

/**
 * One answer on its way from an instance to the client, with backpressure. Order, case and repeats of its headers are kept. Header
 * and small pieces wait until all is handed over that came at once, as that is often all there is.
 */
export class Transfer implements Occupant, Breakable, ResponseHandler {
  readonly #exchange: HttpExchange;
  readonly #body: RequestBody | undefined;
  readonly #pool: UpstreamPool;
  readonly #upstream: Upstream;
  readonly #startedAt: number;
  readonly #stallMs: number;
  #isWatched = false;
  #isSent = false;
  /** The client takes no more for now. */
  #isHeldBack = false;
  #ended = false;
  /** The header while it waits. */
  #headers: string[] | undefined;
  #statusCode = 0;
  #statusText = '';
  /** Small pieces of the body, in latin1. */
  #waiting = '';
  #interim = 0;

  /** Gives up a client that takes nothing of the answer for `stallMs`. */
  constructor(exchange: HttpExchange, body: RequestBody | undefined, pool: UpstreamPool, stallMs: number) {
    this.#stallMs = stallMs;
    this.#exchange = exchange;
    this.#body = body;
    this.#pool = pool;
    const { admitted, attempts, req, seat } = exchange;
    const isFresh = attempts > 0 || !admitted.idempotent || admitted.hasBody;
    this.#upstream = pool.take(req.socket, seat.app.concurrency.max, isFresh);
    this.#startedAt = performance.now();
    const res: Carrying = exchange.res;
    res[kTransfer] = this;
    if (!res[kListening]) {
      res[kListening] = true;
      res.on('close', onClose);
    }
    exchange.seat.occupant = this;
  }

  /** Only the same client uses this connection to the app from now on: see docs/decisions/keep-alive.md. */
  keepToClient(): void {
    this.#upstream.owner = this.#exchange.req.socket;
  }

  /** Hands the request to a connection. If it cannot be written, `onError` is called, as for any failure. */
  dispatch(request: Http1Request): void {
    this.#upstream.client.dispatch(request, this);
  }

  onConnect(): void {
    this.#isSent = true;
    const { res, admitted } = this.#exchange;
    // The app's own answer to Expect is not told; a client whose request has a seat may send.
    if (admitted.expectsContinue && admitted.hasBody && !res.headersSent) res.writeContinue();
  }

  onHeaders(statusCode: number, raw: string[], reason: string): void {
    const { res, req, admitted, serverTiming, hsts, affinityMark } = this.#exchange;
    if (statusCode < 200) return this.#inform(statusCode, raw);
    if (this.#upstream.waitsSince !== undefined) this.#pool.answered(this.#upstream);
    const mayTrail = !isHttp10(req) && admitted.method !== 'HEAD' && !hasNoBody(statusCode);
    const headers = responseHeaders(raw, statusCode, mayTrail);
    noteBusy(this.#exchange.seat, raw);
    if (serverTiming !== undefined) {
      headers.push('Server-Timing', `${serverTiming}, ttfb;dur=${(performance.now() - this.#startedAt).toFixed(1)}`);
    }
    if (hsts !== undefined && !hasHsts(headers)) headers.push('Strict-Transport-Security', hsts);
    if (affinityMark !== undefined) addMark(headers, affinityMark);
    // The rest of a body that the app did not read would be taken for the next request.
    if (this.#body !== undefined && !req.complete) res.shouldKeepAlive = false;
    if (statusCode === 426) nameUpgrade(headers, res.shouldKeepAlive);
    this.#headers = headers;
    this.#statusCode = statusCode;
    this.#statusText = printable.test(reason) ? reason : '';
  }

  onData(bytes: Buffer, from: number, to: number): boolean {
    const { res } = this.#exchange;
    if (to - from <= smallBytes) {
      this.#waiting += bytes.toString('latin1', from, to);
    } else {
      this.#send();
      res.write(Buffer.from(bytes.subarray(from, to)));
    }
    if (res.writableNeedDrain && !this.#isHeldBack) this.#holdBack();
    return !this.#isHeldBack;
  }

  #holdBack(): void {
    this.#isHeldBack = true;
    this.#watchStall();
    this.#exchange.res.once('drain', onDrain);
  }

  /** Watches until the answer is sent, which may be after the app has given all of it. */
  #watchStall(): void {
    const { res } = this.#exchange;
    if (this.#isWatched || res.socket === null) return;
    this.#isWatched = true;
    const isWaiting = () => res.writableNeedDrain || res.writableEnded;
    const unwatch = watchStall(res.socket, this.#stallMs, isWaiting, () => res.destroy());
    res.once('close', unwatch);
  }

  onComplete(trailers: string[]): void {
    const { res } = this.#exchange;
    if (trailers.length > 0) {
      this.#send();
      if (res.chunkedEncoding) res.addTrailers(responseTrailers(trailers));
      res.end();
    } else if (this.#headers !== undefined) this.#sendWhole();
    else if (this.#waiting === '') res.end();
    else res.end(this.#take(), 'latin1');
    if (res.writableLength > res.writableHighWaterMark) this.#watchStall();
    this.#finish('complete');
  }

  onReadEnd(): void {
    if (this.#ended) return;
    const isAlone = this.#headers !== undefined && this.#waiting === '';
    this.#send();
    if (isAlone) this.#exchange.res.flushHeaders();
  }

  #send(): void {
    if (this.#headers !== undefined) this.#writeHead();
    if (this.#waiting !== '') this.#exchange.res.write(this.#take(), 'latin1');
  }

  #take(): string {
    const waiting = this.#waiting;
    this.#waiting = '';
    return waiting;
  }

  /**
   * Writes header and body in one piece: as latin1 strings they share one write. Uncorked before the end, they leave it nothing to
   * write; otherwise it would add an empty piece.
   */
  #sendWhole(): void {
    const { res } = this.#exchange;
    this.#writeHead();
    if (this.#waiting !== '') {
      res.socket?.cork();
      res.write(this.#take(), 'latin1');
      res.socket?.uncork();
    }
    res.end();
  }

  /** Throws if node cannot write what the app sent. */
  #writeHead(): void {
    const headers = this.#headers;
    const { res } = this.#exchange;
    this.#headers = undefined;
    try {
      res.writeHead(this.#statusCode, this.#statusText, headers);
    } catch (error) {
      // Node may already have noted that there is no body: our own answer might not be whole, and must be the last.
      res.shouldKeepAlive = false;
      throw error;
    }
  }

  onError(error: Error): void {
    contain(this, () => this.#onError(error));
  }

  #onError(error: Error): void {
    if (this.#ended) return;
    const { res, admitted } = this.#exchange;
    const cause = this.#body?.errored ?? error;
    if (res.headersSent) return this.#breakOff(cause);
    const sent = this.#isSent;
    const failure = upstreamError(cause, sent);
    const isOurs = failure.code === 'upstream_reset' || failure.code === 'upstream_unreachable';
    this.#fail(failure, isOurs && (!sent || (admitted.idempotent && !admitted.hasBody)));
  }

  broke(error: Error): void {
    if (this.#ended) return;
    if (this.#exchange.res.headersSent) this.#breakOff(error);
    else this.#fail(upstreamError(error, true), false);
  }

  /** The client went. */
  gone(): void {
    if (this.#ended) return;
    this.#finish('client_gone');
  }

  drained(): void {
    this.#isHeldBack = false;
    this.#upstream.client.resume(this);
  }

  cut(reason: CutReason): void {
    if (this.#ended) return;
    const { res, admitted } = this.#exchange;
    if (res.headersSent) this.#breakOff(reason);
    else {
      const unsent = !this.#isSent;
      const replayable = reason === 'instance_gone' && (unsent || (admitted.idempotent && !admitted.hasBody));
      this.#fail(
        new RequestError('upstream_reset', 'The instance was ended while it answered.', { cause: reason }),
        replayable,
      );
    }
  }

  /** Takes 100, 103 and their kind, bounded in number. */
  #inform(statusCode: number, raw: string[]): void {
    this.#interim += 1;
    if (this.#interim > mostInterim) throw endlessInterim();
    const { req, res } = this.#exchange;
    // An answer that waits behind another one goes without: hints are for clients that wait.
    if (statusCode !== 103 || this.#interim > mostHints) return;
    if (res instanceof StreamResponse) return res.inform(103, hintHeaders(raw));
    if (isHttp10(req) || res.socket === null) return;
    // Node would write only links that it understands, and only one in a list.
    res.socket.write(`HTTP/1.1 103 Early Hints\r\n${linesOf(hintHeaders(raw))}\r\n`, 'latin1');
  }

  /**
   * Ends the answer so that the client sees that it is not whole: by a reset for HTTP/1.0, in which the end of the connection is
   * the end of the answer. A client that is still sending is read on, as a reset would cost it what was sent.
   */
  #breakOff(cause: Error | CutReason): void {
    const { req, res } = this.#exchange;
    const { socket } = res;
    if (isHttp10(req) && socket) {
      // First: over TLS a reset closes the answer at once.
      this.#finish('upstream_gone', cause);
      reset(socket);
      return void res.destroy();
    }
    if (socket && !req.complete && !socket.destroyed) {
      this.#finish('upstream_gone', cause);
      req.resume();
      return endConnection(socket);
    }
    res.destroy();
    this.#finish('upstream_gone', cause);
  }

  #fail(error: RequestError, replayable: boolean): void {
    this.#end();
    this.#exchange.onFailed(error, replayable);
  }

  #finish(outcome: ForwardOutcome, cause?: Error | CutReason): void {
    this.#end();
    const { res } = this.#exchange;
    this.#exchange.onFinished(res.headersSent ? res.statusCode : 499, outcome, cause);
  }

  #end(): void {
    this.#ended = true;
    const { seat } = this.#exchange;
    const res: Carrying = this.#exchange.res;
    res[kTransfer] = undefined;
    // Another attempt reads the request through a body of its own.
    this.#body?.destroy();
    this.#headers = undefined;
    this.#waiting = '';
    // Breaks off what is still under way: nothing of it may reach the next request.
    this.#upstream.client.abort(this);
    this.#pool.give(this.#upstream);
    seat.occupant = undefined;
    seat.release();
  }
}

function onClose(this: Carrying): void {
  const transfer = this[kTransfer];
  if (transfer) contain(transfer, () => transfer.gone());
}

function onDrain(this: Carrying): void {
  const transfer = this[kTransfer];
  if (transfer) contain(transfer, () => transfer.drained());
}

function isHttp10({ httpVersionMajor, httpVersionMinor }: ClientRequest): boolean {
  return httpVersionMinor === 0 && httpVersionMajor === 1;
}

/** Of a flat list, each with its end. */
function linesOf(headers: readonly string[]): string {
  let lines = '';
  for (let index = 0; index < headers.length; index += 2) lines += `${headers[index]}: ${headers[index + 1]}\r\n`;
  return lines;
}

function hasHsts(headers: readonly string[]): boolean {
  return headers.some((name, at) => at % 2 === 0 && name.toLowerCase() === 'strict-transport-security');
}

/** A 426 says what to ask for, and has to name that in Connection: RFC 9110 §7.8, §15.5.22. */
function nameUpgrade(headers: string[], keepAlive: boolean): void {
  if (!headers.some((name, at) => at % 2 === 0 && name.toLowerCase() === 'upgrade')) return;
  headers.push('Connection', keepAlive ? 'Upgrade' : 'Upgrade, close');
}
