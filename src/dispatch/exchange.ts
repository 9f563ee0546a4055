import type { Duplex } from 'node:stream';
import type { Holder, Seat } from '../uses/seat.js';
import type { ClientRequest, ClientResponse } from '../forward/client-message.js';
import type { Admitted } from '../forward/request-headers.js';
import type { AffinityMark } from '../forward/affinity-mark.js';
import type { HttpExchange, UpgradeExchange } from '../forward/exchange.js';
import type { WakingRequest } from '../model/ledger/facts.js';
import type { RequestError } from '../model/errors.js';
import type { Verdict } from '../model/wake/verdict.js';
import { wakingRequest } from './waking-request.js';

export type Outcome = Parameters<HttpExchange['onFinished']>[1];

/** What an exchange reports to its dispatcher, and asks of it. */
export interface ExchangeOwner {
  failed(exchange: AnyExchange, error: RequestError, replayable: boolean): void;
  finished(exchange: AnyExchange, statusCode: number, outcome: Outcome, cause: unknown): void;
  /** Address of the client that sent a request; undefined if that is not known. */
  clientOf(exchange: Pick<AnyExchange, 'req' | 'admitted'>): string | undefined;
}

export type AnyExchange = RequestExchange | ConnectionExchange;

/** What both kinds of exchange carry from check to forward. */
abstract class Exchange implements Holder {
  readonly req: ClientRequest;
  readonly admitted: Admitted;
  readonly owner: ExchangeOwner;
  /** Monotonic milliseconds. */
  readonly startedAt: number;
  app: string | undefined;
  /** The app's headers for an answer in its place; known with the app. */
  errorHeaders: Readonly<Record<string, string>> | undefined = undefined;
  /** What the app's wake rules say of the request; see Holder. Asked for once, as a rule may count requests. */
  verdict: Verdict | undefined = undefined;
  isJudged = false;
  /** The instance that the request belongs to; see Affinity. */
  prefers: string | undefined = undefined;
  isTied = false;
  affinityMark: AffinityMark | undefined = undefined;
  cold = false;
  attempts = 0;
  serverTiming: string | undefined = undefined;
  /** Milliseconds of the phases of a cold request. */
  phases: Readonly<Record<string, number>> | undefined = undefined;
  /** Only with an access log. */
  requestId: string | undefined = undefined;
  hsts: string | undefined = undefined;
  upstreamHeaders: string[] | undefined = undefined;
  /** Aborts when the client goes; made only for requests that wait. */
  gone: AbortController | undefined = undefined;
  #seat: Seat | undefined;
  /** Null until it is first asked for. */
  #client: string | undefined | null = null;

  constructor(owner: ExchangeOwner, req: ClientRequest, admitted: Admitted, startedAt: number) {
    this.owner = owner;
    this.req = req;
    this.admitted = admitted;
    this.startedAt = startedAt;
  }

  get client(): string | undefined {
    if (this.#client === null) this.#client = this.owner.clientOf(this);
    return this.#client;
  }

  asked(): WakingRequest {
    return wakingRequest(this.req, this.admitted, this.client);
  }

  get seat(): Seat {
    if (this.#seat === undefined) throw new Error('the exchange has no seat yet');
    return this.#seat;
  }

  set seat(seat: Seat) {
    this.#seat = seat;
    this.app = seat.app.name;
    this.errorHeaders = seat.app.errorHeaders;
  }

  /** Of the instance whose seat it has or had last. */
  get instanceId(): string | undefined {
    return this.#seat?.instanceId;
  }

  /** Gives the seat back, if it has one. Harmless twice. */
  giveUpSeat(): void {
    this.#seat?.release();
  }

  onFailed(this: AnyExchange, error: RequestError, replayable: boolean): void {
    this.owner.failed(this, error, replayable);
  }

  onFinished(this: AnyExchange, statusCode: number, outcome: Outcome, cause?: unknown): void {
    this.owner.finished(this, statusCode, outcome, cause);
  }
}

/** One HTTP request on its way through check, boot and forward. */
export class RequestExchange extends Exchange implements HttpExchange {
  readonly kind = 'request';
  readonly res: ClientResponse;

  constructor(owner: ExchangeOwner, req: ClientRequest, res: ClientResponse, admitted: Admitted, startedAt: number) {
    super(owner, req, admitted, startedAt);
    this.res = res;
  }
}

/** One request to switch its connection to another protocol. */
export class ConnectionExchange extends Exchange implements UpgradeExchange {
  readonly kind = 'connection';
  readonly socket: Duplex;

  constructor(owner: ExchangeOwner, req: ClientRequest, socket: Duplex, admitted: Admitted, startedAt: number) {
    super(owner, req, admitted, startedAt);
    this.socket = socket;
  }
}
