import type { ServerResponse } from 'node:http';
import type { Dispatcher } from 'undici';
import type { CutReason, Occupant } from '../uses/seat.js';
import { RequestError } from '../model/errors.js';
import { noteBusy } from './busy.js';
import { type Breakable, contain } from './contained.js';
import { endConnection } from './end-connection.js';
import type { ForwardOutcome, HttpExchange } from './exchange.js';
import type { RequestBody } from './request-body.js';
import { hintLines, responseHeaders, responseTrailers } from './response-headers.js';
import { watchStall } from './stall-watch.js';
import { gatheredBytes, smallBytes, SmallChunks } from './small-chunks.js';
import { endlessInterim, mostInterim } from './upstream-connector.js';
import { upstreamError } from './upstream-error.js';
import type { Upstream, UpstreamPool } from './upstreams.js';

const kTransfer = Symbol('transfer');
const kListening = Symbol('listening for the end');

type Carrying = ServerResponse & { [kTransfer]?: Transfer | undefined; [kListening]?: true };

/** A reason phrase that node can write; undici reads it as UTF-8. */
const printable = /^[\t\x20-\x7e\x80-\xff]*$/;

/** undici reports the missing body that a 204 or 304 announced, although none comes. */
const lengthMismatch = 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH';
const hasNoBody = (statusCode: number) => statusCode === 204 || statusCode === 304;

/** Hints of one answer that are passed on. */
const mostHints = 16;

/**
 * One response on its way from an instance to the client, with backpressure. undici calls it as its handler, with raw headers, of
 * which order, case and repeats are kept. Header and small chunks wait for the end of their tick, in which more, and often all,
 * comes. That bounds memory too: at each pause undici reads another 64 KiB, more than it parses between pauses of one-byte chunks.
 */
export class Transfer implements Occupant, Breakable {
  readonly #exchange: HttpExchange;
  readonly #body: RequestBody | undefined;
  readonly #pool: UpstreamPool;
  readonly #upstream: Upstream;
  readonly #startedAt: number;
  readonly #stallMs: number;
  #isWatched = false;
  #abort: ((error?: Error) => void) | undefined;
  #resume: (() => void) | undefined;
  #ended = false;
  /** The header while it waits. */
  #headers: string[] | undefined;
  #statusCode = 0;
  #statusText = '';
  /** Small chunks of the body, until the end of the tick. */
  readonly #waiting = new SmallChunks();
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

  /** Hands the request to a connection. If undici cannot write it, `onError` is called, as for any failure. */
  dispatch(options: Dispatcher.DispatchOptions): void {
    // undici accepts handlers of this older form; its types name only the newer one.
    this.#upstream.client.dispatch(options, this as unknown as Dispatcher.DispatchHandler);
  }

  onConnect(abort: (error?: Error) => void): void {
    if (this.#ended) return abort();
    this.#abort = abort;
    this.#upstream.awaitsAnswer();
    const { res, admitted } = this.#exchange;
    // undici does not tell the app's own answer to Expect; a client whose request has a seat may send.
    if (admitted.expectsContinue && admitted.hasBody && !res.headersSent) res.writeContinue();
  }

  onHeaders(statusCode: number, raw: Buffer[], resume: () => void, statusText: string): boolean {
    const { res, req, admitted, serverTiming } = this.#exchange;
    if (statusCode < 200) return this.#inform(statusCode, raw);
    this.#resume = resume;
    if (this.#upstream.waitsSince !== undefined) this.#pool.answered(this.#upstream);
    const mayTrail = req.httpVersionMinor > 0 && admitted.method !== 'HEAD' && !hasNoBody(statusCode);
    const headers = responseHeaders(raw, statusCode, mayTrail);
    noteBusy(this.#exchange.seat, raw);
    if (serverTiming !== undefined) {
      headers.push('Server-Timing', `${serverTiming}, ttfb;dur=${(performance.now() - this.#startedAt).toFixed(1)}`);
    }
    // The rest of a body that the app did not read would be taken for the next request.
    if (this.#body !== undefined && !req.complete) res.shouldKeepAlive = false;
    if (statusCode === 426) nameUpgrade(headers, res.shouldKeepAlive);
    this.#headers = headers;
    this.#statusCode = statusCode;
    this.#statusText = printable.test(statusText) ? statusText : '';
    process.nextTick(flush, this);
    return true;
  }

  onData(chunk: Buffer): boolean {
    const { res } = this.#exchange;
    if (chunk.length <= smallBytes) this.#gather(chunk);
    else {
      this.#send();
      res.write(chunk);
    }
    if (!res.writableNeedDrain) return true;
    this.#watchStall();
    res.once('drain', onDrain);
    return false;
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

  #gather(chunk: Buffer): void {
    // A waiting header has scheduled the flush.
    if (this.#waiting.bytes === 0 && this.#headers === undefined) process.nextTick(flush, this);
    this.#waiting.add(chunk);
    if (this.#waiting.bytes >= gatheredBytes) this.#send();
  }

  onComplete(trailers: Buffer[] | null): void {
    const { res } = this.#exchange;
    if (trailers !== null && trailers.length > 0) {
      this.#send();
      if (res.chunkedEncoding) res.addTrailers(responseTrailers(trailers));
      res.end();
    } else if (this.#headers !== undefined) this.#sendWhole();
    else res.end(this.#waiting.take());
    if (res.writableLength > res.writableHighWaterMark) this.#watchStall();
    this.#finish('complete');
  }

  /** Sends what waited, if anything still does. */
  flush(): void {
    if (this.#ended) return;
    const isAlone = this.#headers !== undefined && this.#waiting.bytes === 0;
    try {
      this.#send();
      if (isAlone) this.#exchange.res.flushHeaders();
    } catch (error) {
      this.#abort?.(error as Error);
    }
  }

  #send(): void {
    if (this.#headers !== undefined) this.#writeHead();
    const body = this.#waiting.take();
    if (body !== undefined) this.#exchange.res.write(body);
  }

  /**
   * Writes header and body in one piece: as latin1 strings they share one write. Uncorked before the end, they leave it nothing to
   * write; otherwise it would add an empty piece.
   */
  #sendWhole(): void {
    const { res } = this.#exchange;
    this.#writeHead();
    const body = this.#waiting.take();
    if (body !== undefined) {
      res.socket?.cork();
      res.write(body.toString('latin1'), 'latin1');
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

  /** Contained: nothing catches what undici's caller throws here. */
  onError(error: Error): void {
    contain(this, () => this.#onError(error));
  }

  #onError(error: Error): void {
    if (this.#ended) return;
    const { res, admitted } = this.#exchange;
    if (this.#isWholeWithout(error) && this.#isCompleted()) return;
    const cause = this.#body?.errored ?? error;
    if (res.headersSent) return this.#breakOff(cause);
    const sent = this.#abort !== undefined;
    const failure = upstreamError(cause, sent);
    const isOurs = failure.code === 'upstream_reset' || failure.code === 'upstream_unreachable';
    this.#fail(failure, isOurs && (!sent || (admitted.idempotent && !admitted.hasBody)));
  }

  broke(error: Error): void {
    if (this.#ended) return;
    if (this.#exchange.res.headersSent) this.#breakOff(error);
    else this.#fail(upstreamError(error, true), false);
    this.#abort?.();
  }

  /** The client went. */
  gone(): void {
    if (this.#ended) return;
    this.#finish('client_gone');
    this.#abort?.();
  }

  drained(): void {
    this.#resume?.();
  }

  cut(reason: CutReason): void {
    if (this.#ended) return;
    const { res, admitted } = this.#exchange;
    if (res.headersSent) this.#breakOff(reason);
    else {
      const unsent = this.#abort === undefined;
      const replayable = reason === 'instance_gone' && (unsent || (admitted.idempotent && !admitted.hasBody));
      this.#fail(
        new RequestError('upstream_reset', 'The instance was ended while it answered.', { cause: reason }),
        replayable,
      );
    }
    this.#abort?.();
  }

  #isWholeWithout(error: Error): boolean {
    return this.#statusCode > 0 && hasNoBody(this.#statusCode) && 'code' in error && error.code === lengthMismatch;
  }

  #isCompleted(): boolean {
    try {
      this.onComplete(null);
      return true;
    } catch {
      return false;
    }
  }

  /** Takes 103 and its kind, bounded in number and time; undici itself takes no 100. */
  #inform(statusCode: number, raw: Buffer[]): boolean {
    const { requestTimeoutMs } = this.#exchange.seat.app;
    this.#interim += 1;
    if (this.#interim > mostInterim) throw endlessInterim();
    if (performance.now() - this.#startedAt > requestTimeoutMs) throw new RequestError('upstream_timeout');
    const { req, res } = this.#exchange;
    // An answer that waits behind another one goes without: hints are for clients that wait.
    if (statusCode !== 103 || this.#interim > mostHints || req.httpVersionMinor === 0 || res.socket === null)
      return true;
    // Node would write only links that it understands, and only one in a list.
    res.socket.write(`HTTP/1.1 103 Early Hints\r\n${hintLines(raw)}\r\n`, 'latin1');
    return true;
  }

  /**
   * Ends the answer so that the client sees that it is not whole: by a reset for HTTP/1.0, in which the end of the connection is
   * the end of the answer. A client that is still sending is read on, as a reset would cost it what was sent.
   */
  #breakOff(cause: Error | CutReason): void {
    const { req, res } = this.#exchange;
    const { socket } = res;
    if (req.httpVersionMinor === 0) socket?.resetAndDestroy();
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

/** A 426 says what to ask for, and has to name that in Connection: RFC 9110 §7.8, §15.5.22. */
function nameUpgrade(headers: string[], keepAlive: boolean): void {
  if (!headers.some((name, at) => at % 2 === 0 && name.toLowerCase() === 'upgrade')) return;
  headers.push('Connection', keepAlive ? 'Upgrade' : 'Upgrade, close');
}

function flush(transfer: Transfer): void {
  transfer.flush();
}
