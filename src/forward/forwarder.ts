import { RequestError } from '../model/errors.js';
import type { HttpExchange, UpgradeExchange } from './exchange.js';
import type { Clients } from './clients.js';
import { Origin } from './origin.js';
import type { ListenerOf } from './proven-connector.js';
import { RequestBody } from './request-body.js';
import type { Silenced } from './silenced.js';
import { Transfer } from './transfer.js';
import { Upgrades } from './upgrade.js';
import { Upstreams } from './upstreams.js';

/** Methods for which every server reads the body. */
const expectsBody = new Set(['POST', 'PUT', 'PATCH']);

export interface ForwarderOptions {
  /** The name of this one. */
  readonly host: string;
  readonly clients: Clients;
  /** Bounds connections to apps too, by ending idle ones. */
  readonly maxConnections: number;
  /** Time after which a client that pauses in the middle of its body is given up. */
  readonly requestBodyIdleTimeoutMs: number;
  readonly listenerOf: ListenerOf;
  /** Bytes per second on average over that time; 0 is no bound. */
  readonly requestBodyMinRateBytes: number;
  /** Time after which a client that takes nothing of what waits for it is given up. */
  readonly responseStallTimeoutMs: number;
  /** Notes clients whose upgraded connections are ended because nothing flows on them. */
  readonly silenced?: Silenced;
}

/** Carries requests to instances: plain ones over our own client, upgrades over http-proxy. */
export class Forwarder {
  readonly #upstreams: Upstreams;
  readonly #upgrades: Upgrades;
  readonly #origin: Origin;
  readonly #options: ForwarderOptions;

  constructor(options: ForwarderOptions) {
    this.#upstreams = new Upstreams(options.host, options.listenerOf, options.maxConnections);
    this.#upgrades = new Upgrades(options.listenerOf, this.#upstreams, options.responseStallTimeoutMs, (exchange) =>
      options.silenced?.note(exchange.seat.app, exchange),
    );
    this.#origin = new Origin(options.clients);
    this.#options = options;
  }

  http(exchange: HttpExchange): void {
    const { req, res, admitted, seat } = exchange;
    const { app } = seat;
    if (res.destroyed) {
      seat.release();
      return exchange.onFinished(499, 'client_gone');
    }
    if (admitted.contentLength !== undefined && admitted.contentLength > app.maxRequestBodyBytes) {
      seat.release();
      return exchange.onFailed(tooLarge(app.maxRequestBodyBytes), false);
    }
    const headers = this.#headersOf(exchange);
    const body = admitted.hasBody ? this.#bodyOf(exchange) : undefined;
    const { responseStallTimeoutMs } = this.#options;
    const transfer = new Transfer(exchange, body, this.#upstreams.of(seat), responseStallTimeoutMs);
    const isPrivate = body !== undefined || admitted.isBound;
    // Behind a trusted proxy many clients share a connection.
    const endsAfter =
      isPrivate &&
      ((body !== undefined && !expectsBody.has(admitted.method)) || this.#options.clients.peerOf(req.socket).trusted);
    if (isPrivate) transfer.keepToClient();
    transfer.dispatch({
      method: admitted.method,
      path: admitted.target,
      headers,
      body,
      contentLength: admitted.contentLength,
      headersTimeout: app.requestTimeoutMs,
      isLast: endsAfter,
    });
  }

  #bodyOf({ req, seat: { app } }: HttpExchange): RequestBody {
    const { requestBodyIdleTimeoutMs: idleTimeoutMs, requestBodyMinRateBytes: minRate } = this.#options;
    const { maxRequestBodyBytes: maxBytes, requestTimeoutMs: stallTimeoutMs } = app;
    return new RequestBody(req, { maxBytes, idleTimeoutMs, minRate, stallTimeoutMs });
  }

  upgrade(exchange: UpgradeExchange): void {
    this.#upgrades.forward(exchange, this.#headersOf(exchange));
  }

  /** From now on nothing is sent to this instance. */
  endInstance(instanceId: string): void {
    this.#upstreams.end(instanceId);
  }

  close(): Promise<void> {
    return this.#upstreams.close();
  }

  /** The headers for the upstream, made once per exchange however often it is sent. */
  #headersOf(exchange: HttpExchange | UpgradeExchange): string[] {
    if (exchange.upstreamHeaders) return exchange.upstreamHeaders;
    const { admitted, req } = exchange;
    const { headers } = admitted;
    this.#origin.append(headers, admitted, req.socket);
    exchange.upstreamHeaders = headers;
    return headers;
  }
}

function tooLarge(maxBytes: number): RequestError {
  return new RequestError('payload_too_large', `The body is larger than ${maxBytes} bytes.`);
}
