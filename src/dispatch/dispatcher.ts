import type { Duplex } from 'node:stream';
import type { Booter } from '../boot/booter.js';
import type { InstanceCheck } from '../terminate/instance-check.js';
import { domainOf } from '../model/host-name.js';
import type { Router } from '../check/router.js';
import type { LocalApp } from '../uses/local-app.js';
import type { Seat } from '../uses/seat.js';
import type { NodeSession } from '../membership/session.js';
import { type AnyExchange, ConnectionExchange, type ExchangeOwner, type Outcome, RequestExchange } from './exchange.js';
import type { ClientRequest, ClientResponse } from '../forward/client-message.js';
import { admit, type RequestBounds } from '../forward/request-headers.js';
import type { Clients } from '../forward/clients.js';
import { answerError, answerErrorRaw } from '../forward/error-answer.js';
import type { Forwarder } from '../forward/forwarder.js';
import { StreamResponse } from '../forward/http2/stream-response.js';
import { redirect, redirectRaw, secureUrl } from '../forward/redirect.js';
import { ReadAhead } from '../forward/read-ahead.js';
import type { Silenced } from '../forward/silenced.js';
import { wordsOf } from '../forward/upstream-error.js';
import type { AccessLog } from '../model/access-record.js';
import { type Clock, sleep } from '../model/clock.js';
import { type Deployment, findInstance, standing } from '../model/deployment.js';
import { isSuspended } from '../model/instance.js';
import { asRequestError, type ErrorCode, isDefect, RequestError } from '../model/errors.js';
import { maintenanceError } from '../model/maintenance.js';
import { coldPhases, timingOf } from './cold-timing.js';
import type { Affinity } from './affinity.js';
import { ByteCounts } from './byte-counts.js';
import { takeRequestId, traceparentOf } from './request-id.js';
import { AwaitedBoots } from './awaited-boots.js';
import { ownRequest } from './own-request.js';
import type { RequestRates } from './request-rates.js';
import { tellEnd } from './told-end.js';
import { followPath, isNavigation, waitingPage } from './waiting-page.js';
import type { WakeGate } from '../wake/wake-gate.js';

export interface RequestReport {
  readonly app: string | undefined;
  readonly code: number;
  readonly cold: boolean;
  readonly durationMs: number;
  readonly outcome: Outcome | 'refused';
  readonly errorCode?: ErrorCode | undefined;
}

export interface DispatcherOptions {
  readonly session: Pick<NodeSession, 'renewIfFrozen'>;
  readonly router: Router;
  readonly booter: Booter;
  readonly forwarder: Pick<Forwarder, 'http' | 'upgrade'>;
  readonly instanceCheck: InstanceCheck;
  readonly clock: Clock;
  /** If absent, clients are not told apart. */
  readonly clients?: Pick<Clients, 'addressOf' | 'isSecure' | 'peerOf'>;
  /** If absent, every upgrade wakes its app. */
  readonly silenced?: Pick<Silenced, 'leftMs'>;
  /** If absent, every request wakes its app and keeps it awake. */
  readonly wake?: Pick<WakeGate, 'judge' | 'running' | 'admit'>;
  readonly rates: Pick<RequestRates, 'spend'>;
  /** If absent, no client is kept at an instance. */
  readonly affinity?: Pick<Affinity, 'take' | 'markOf'>;
  readonly bounds: RequestBounds & { readonly maxConnectionAgeMs: number };
  /** Whether clients are told how long the phases of a cold request took. */
  readonly serverTiming: boolean;
  /** Lines about requests that were refused, failed or cut short; the caller bounds their number. */
  readonly logRefusal: (fields: Record<string, unknown>, message: string) => void;
  readonly onRequest: (report: RequestReport) => void;
  /** If absent, nothing is gathered for it. */
  readonly accessLog?: AccessLog;
}

/** Attempts for a request whose instance cannot be reached, each after a longer pause. */
const maxAttempts = 5;
const firstPauseMs = 10;
/** Characters of a log field whose text strangers chose. */
const longestLogged = 500;
const longestStack = 4_000;
/** What Retry-After of a waiting page says. */
const pageRetryS = 2;

class ClientGone extends Error {
  override readonly name = 'ClientGone';
}

/** The pipeline of one request: check → boot → forward. */
export class Dispatcher implements ExchangeOwner {
  readonly #options: DispatcherOptions;
  readonly #readAhead = new ReadAhead();
  readonly #byteCounts = new ByteCounts();
  readonly #awaitedBoots: AwaitedBoots;
  #closing = false;

  constructor(options: DispatcherOptions) {
    this.#options = options;
    this.#awaitedBoots = new AwaitedBoots(options.booter);
  }

  /** Handles one HTTP request. Never throws: every failure becomes an answer. */
  readonly handle = (req: ClientRequest, res: ClientResponse): void => {
    const startedAt = this.#options.clock.monotonic();
    let exchange: RequestExchange;
    try {
      exchange = new RequestExchange(this, req, res, admit(req, this.#options.bounds), startedAt);
    } catch (error) {
      const refusal = asRequestError(error);
      answerError(req, res, refusal);
      return this.#reportRefusal(undefined, req, refusal, startedAt);
    }
    if (this.#options.accessLog) exchange.requestId = takeRequestId(exchange.admitted.headers);
    if (this.#isOld(req)) endAfter(res);
    this.#dispatch(exchange);
  };

  /** Handles one request to switch its connection to another protocol. */
  readonly upgrade = (req: ClientRequest, socket: Duplex): void => {
    const startedAt = this.#options.clock.monotonic();
    let exchange: ConnectionExchange;
    try {
      exchange = new ConnectionExchange(this, req, socket, admit(req, this.#options.bounds), startedAt);
    } catch (error) {
      const refusal = asRequestError(error);
      answerErrorRaw(socket, refusal, { accept: req.headers.accept });
      return this.#reportRefusal(undefined, req, refusal, startedAt);
    }
    if (this.#options.accessLog) exchange.requestId = takeRequestId(exchange.admitted.headers);
    this.#dispatch(exchange);
  };

  /** From now on new requests are answered `shutting_down`. */
  close(): void {
    this.#closing = true;
  }

  /** Warm: nothing is waited for. */
  #dispatch(exchange: AnyExchange): void {
    const { router, session } = this.#options;
    try {
      if (this.#closing) return this.#refuse(exchange, new RequestError('shutting_down'));
      const { host, target } = exchange.admitted;
      const local = session.renewIfFrozen() && target !== '*' ? router.cached(host) : undefined;
      if (local?.app.tls.redirect && !local.removed && this.#redirects(exchange, local)) return;
      if (local !== undefined && hasTerms(local.app)) this.#judge(exchange, local);
      const isElsewhere = local !== undefined && local.app.affinity !== 'none' && this.#tie(exchange, local);
      const seat = local && !isElsewhere && !isFollowing(exchange, local) ? local.takeSeat(exchange) : undefined;
      if (local && seat) {
        if (exchange.verdict !== undefined) this.#options.wake?.running(exchange.verdict);
        this.#forward(exchange, seat, local);
      } else void this.#wake(exchange);
    } catch (error) {
      this.#broke(exchange, error);
    }
  }

  /** Cold: check → boot → forward. */
  async #wake(exchange: AnyExchange): Promise<void> {
    const { router, booter, clock } = this.#options;
    let local: LocalApp | undefined;
    try {
      const signal = clientSignal(exchange);
      const from = clock.monotonic();
      const arrivedAt = clock.now();
      local = await router.find(exchange.admitted.host);
      exchange.app = local.name;
      exchange.errorHeaders = local.app.errorHeaders;
      if (exchange.admitted.target === '*') return this.#answerPing(exchange);
      if (local.app.tls.redirect && this.#redirects(exchange, local)) return;
      local.askedFor = domainOf(exchange.admitted.host);
      const foundAt = clock.monotonic();
      if (local.maintenance?.mode === 'page') throw maintenanceError(local.maintenance);
      if (isFollowing(exchange, local)) return await this.#follow(exchange, local);
      this.#refuseSilenced(exchange, local);
      this.#refuseUnwelcome(exchange, local);
      if (await this.#showPage(exchange, local)) signal.throwIfAborted();
      this.#readOn(exchange);
      if (local.app.affinity !== 'none' && this.#tie(exchange, local)) {
        await booter.useOf(local, exchange.prefers!);
        signal.throwIfAborted();
      }
      const seat = await booter.seat(local, signal, exchange);
      exchange.seat = seat;
      signal.throwIfAborted();
      this.#noteBoot(exchange, local, seat, arrivedAt, foundAt - from, clock.monotonic() - foundAt);
      this.#forward(exchange, seat, local);
    } catch (error) {
      if (!(error instanceof ClientGone))
        return this.#broke(exchange, local && isQueueTimeout(error) ? this.#explained(exchange, local, error) : error);
      exchange.giveUpSeat();
      this.#report(exchange, 499, 'client_gone');
    }
  }

  #explained({ req, admitted }: AnyExchange, local: LocalApp, error: RequestError): RequestError {
    const address = this.#addressOf(req, admitted);
    const detail = address === undefined ? undefined : ownRequest(local, address);
    return detail === undefined ? error : new RequestError('queue_timeout', detail);
  }

  /** The peer's; of a request that a trusted proxy passes on, its client's. Undefined if clients are not told apart. */
  #addressOf({ socket }: ClientRequest, admitted: AnyExchange['admitted'] | undefined): string | undefined {
    const { clients } = this.#options;
    const peer = clients?.peerOf(socket);
    return peer?.trusted ? (clients?.addressOf(socket, admitted?.proxyHeaders) ?? peer.address) : peer?.address;
  }

  /**
   * `OPTIONS *` asks the server, not an app, whether it is there (RFC 9110 §9.3.7): it wakes no app.
   */
  #answerPing(exchange: AnyExchange): void {
    if (exchange.kind === 'connection') return this.#refuse(exchange, new RequestError('bad_request'));
    const { req, res, admitted } = exchange;
    if (admitted.hasBody && !req.complete) res.shouldKeepAlive = false;
    res.writeHead(200, { 'Content-Length': '0' });
    res.end();
    this.#report(exchange, 200, 'complete');
  }

  /** The reconnect of an open page does not keep its app from sleeping. */
  #refuseSilenced(exchange: AnyExchange, { app, deployment }: LocalApp): void {
    if (exchange.kind === 'request' || standing(deployment).length > 0) return;
    const leftMs = this.#options.silenced?.leftMs(app, exchange) ?? 0;
    if (leftMs > 0) throw new RequestError('app_asleep', undefined, { retryAfterS: Math.ceil(leftMs / 1_000) });
  }

  #isOld({ socket }: ClientRequest): boolean {
    const { clients, bounds } = this.#options;
    return clients !== undefined && performance.now() - clients.peerOf(socket).since > bounds.maxConnectionAgeMs;
  }

  /** What the app says of requests; each is counted once. */
  #judge(exchange: AnyExchange, { app }: LocalApp): void {
    if (exchange.isJudged) return;
    exchange.isJudged = true;
    exchange.app = app.name;
    exchange.errorHeaders = app.errorHeaders;
    this.#options.rates.spend(app, exchange);
    exchange.verdict = this.#options.wake?.judge(app, exchange);
  }

  /** Who may wake the app is decided before anything boots. */
  #refuseUnwelcome(exchange: AnyExchange, local: LocalApp): void {
    this.#judge(exchange, local);
    this.#options.wake?.admit(local, exchange, exchange.verdict);
  }

  /** Answers a browser with a page while the app boots; false if this is not for it. Throws what is to be answered. */
  async #showPage(exchange: AnyExchange, local: LocalApp): Promise<boolean> {
    const { app, deployment } = local;
    if (app.waiting === 'hold' || exchange.kind === 'connection' || isServing(deployment)) return false;
    if (local.maintenance || !isNavigation(exchange.req)) return false;
    const end = await this.#awaitedBoots.waitBriefly(local, exchange);
    if (end === 'ready') return true;
    if (end !== 'booting') throw end;
    const answer = waitingPage(app.waitingPage, exchange.admitted.host);
    throw new RequestError('app_booting', undefined, { answer, retryAfterS: pageRetryS });
  }

  /** Tells a waiting page how the boot of its app ends. Never begins one. */
  async #follow(exchange: RequestExchange, local: LocalApp): Promise<void> {
    const { deployment, waiting } = local;
    const { req, res, admitted } = exchange;
    if (admitted.hasBody && !req.complete) res.shouldKeepAlive = false;
    const isBooting = waiting > 0 || standing(deployment).length > 0;
    const end = isServing(deployment) ? 'ready' : isBooting ? this.#awaitedBoots.wait(local) : 'asleep';
    const told = await tellEnd(exchange, end, this.#options.clock);
    if (told instanceof RequestError) this.#log(exchange, req, told, 'a boot that a page waited for failed');
    this.#report(exchange, 200, told === 'gone' ? 'client_gone' : 'complete');
  }

  /** Reads ahead, unless the client waits for `100 Continue` and sends nothing yet. */
  #readOn(exchange: AnyExchange): void {
    if (exchange.kind === 'connection') return;
    const { req, res, admitted } = exchange;
    if (admitted.hasBody && !admitted.expectsContinue) this.#readAhead.begin(req, res, admitted.contentLength);
  }

  /** Answers a request that came in clear text, and returns true, unless it has to be answered so. */
  #redirects(exchange: AnyExchange, { name }: LocalApp): boolean {
    const { req, admitted } = exchange;
    const url = this.#isSecure(exchange) ? undefined : secureUrl(admitted);
    if (url === undefined) return false;
    exchange.app = name;
    if (exchange.kind === 'request') redirect(req, exchange.res, admitted, url);
    else redirectRaw(exchange.socket, url);
    this.#report(exchange, 308, 'complete');
    return true;
  }

  #isSecure({ req, admitted }: AnyExchange): boolean {
    return this.#options.clients?.isSecure(req.socket, admitted.proxyHeaders) === true;
  }

  /** Finds the instance that a request belongs to. True if that is ready and this node does not use it yet. */
  #tie(exchange: AnyExchange, { app, deployment, uses }: LocalApp): boolean {
    const { affinity } = this.#options;
    if (affinity === undefined) return false;
    if (!exchange.isTied) {
      exchange.isTied = true;
      exchange.prefers = affinity.take(exchange.admitted.headers, app, deployment);
    }
    const { prefers } = exchange;
    return prefers !== undefined && !uses.has(prefers) && findInstance(deployment, prefers)?.state === 'ready';
  }

  #forward(exchange: AnyExchange, seat: Seat, { deployment }: LocalApp): void {
    exchange.seat = seat;
    if (seat.app.affinity !== 'none') {
      const { prefers } = exchange;
      const current = prefers !== undefined && findInstance(deployment, prefers) ? prefers : undefined;
      const { app, instanceId } = seat;
      exchange.affinityMark = this.#options.affinity?.markOf(app, instanceId, current, this.#isSecure(exchange));
    }
    const { hstsMs } = seat.app.tls;
    if (hstsMs > 0 && this.#isSecure(exchange)) exchange.hsts = `max-age=${Math.ceil(hstsMs / 1_000)}`;
    if (exchange.kind === 'request') this.#options.forwarder.http(exchange);
    else this.#options.forwarder.upgrade(exchange);
  }

  clientOf({ req, admitted }: Pick<AnyExchange, 'req' | 'admitted'>): string | undefined {
    return this.#options.clients?.addressOf(req.socket, admitted.proxyHeaders);
  }

  finished(exchange: AnyExchange, statusCode: number, outcome: Outcome, cause: unknown): void {
    const defect = isDefect(cause) ? asRequestError(cause) : undefined;
    this.#report(exchange, statusCode, outcome, defect?.code);
    if (defect) this.#log(exchange, exchange.req, defect, 'request broken off');
    else if (outcome === 'upstream_gone') this.#logCut(exchange, statusCode, cause);
  }

  /** Nothing has been sent to the client: looks at the instance, and sends the request again if it may be repeated. */
  failed(exchange: AnyExchange, error: RequestError, replayable: boolean): void {
    void this.#recover(exchange, error, replayable);
  }

  async #recover(exchange: AnyExchange, error: RequestError, replayable: boolean): Promise<void> {
    const { instanceCheck, clock } = this.#options;
    const { seat } = exchange;
    exchange.attempts += 1;
    try {
      const isConnectionError = error.code === 'upstream_unreachable' || error.code === 'upstream_reset';
      const alive = isConnectionError ? await instanceCheck.isAlive(seat, replayable) : true;
      if (!replayable || exchange.attempts >= maxAttempts) return this.#refuse(exchange, error);
      // It runs but refuses connections: its listener may be coming back.
      const pauseMs = alive && error.code === 'upstream_unreachable' ? firstPauseMs * 3 ** (exchange.attempts - 1) : 0;
      if (pauseMs > 0) await sleep(clock, pauseMs);
      await this.#wake(exchange);
    } catch (failure) {
      this.#broke(exchange, failure);
    }
  }

  /** Gives the seat back and answers. A failure ends its own exchange, never the process. */
  #broke(exchange: AnyExchange, error: unknown): void {
    exchange.giveUpSeat();
    this.#refuse(exchange, asRequestError(error));
  }

  /** A request is cold if an instance was booted for it. */
  #noteBoot(
    exchange: AnyExchange,
    local: LocalApp,
    seat: Seat,
    arrivedAt: number,
    lookupMs: number,
    waitedMs: number,
  ): void {
    const instance = findInstance(local.deployment, seat.instanceId);
    if (instance?.readyAt === undefined || instance.readyAt < arrivedAt) return;
    exchange.cold = true;
    exchange.phases = coldPhases(lookupMs, waitedMs, instance.boot);
    if (this.#options.serverTiming) exchange.serverTiming = timingOf(exchange.phases);
  }

  #refuse(exchange: AnyExchange, error: RequestError): void {
    let told = error;
    try {
      if (exchange.kind === 'request') answerError(exchange.req, exchange.res, error, exchange.errorHeaders);
      else {
        const { headers } = exchange.req;
        answerErrorRaw(exchange.socket, error, { accept: headers.accept, own: exchange.errorHeaders });
      }
    } catch (failure) {
      told = asRequestError(failure);
      (exchange.kind === 'request' ? exchange.res : exchange.socket).destroy();
    }
    this.#reportRefusal(exchange, exchange.req, told, exchange.startedAt);
  }

  #report(exchange: AnyExchange, code: number, outcome: Outcome, errorCode?: ErrorCode): void {
    const { clock, onRequest } = this.#options;
    const durationMs = clock.monotonic() - exchange.startedAt;
    const { app, cold } = exchange;
    onRequest({ app, code, cold, durationMs, outcome, errorCode });
    if (this.#options.accessLog) this.#logAccess(exchange, exchange.req, { code, outcome, errorCode, durationMs });
  }

  #reportRefusal(exchange: AnyExchange | undefined, req: ClientRequest, error: RequestError, from: number): void {
    const { clock, onRequest } = this.#options;
    const durationMs = clock.monotonic() - from;
    const app = exchange?.app;
    const code = error.status;
    onRequest({ app, code, cold: exchange?.cold ?? false, durationMs, outcome: 'refused', errorCode: error.code });
    if (this.#options.accessLog)
      this.#logAccess(exchange, req, { code, outcome: 'refused', errorCode: error.code, durationMs });
    this.#log(exchange, req, error, 'request refused');
  }

  /** The exchange is absent if the request could not be read. */
  #logAccess(
    exchange: AnyExchange | undefined,
    req: ClientRequest,
    { code, outcome, errorCode, durationMs }: Pick<RequestReport, 'code' | 'outcome' | 'errorCode' | 'durationMs'>,
  ): void {
    const { accessLog, clock } = this.#options;
    const { headers } = req;
    const bytes = this.#byteCounts.take(req.socket);
    accessLog?.write({
      at: clock.now() - durationMs,
      client: this.#addressOf(req, exchange?.admitted),
      method: req.method ?? '',
      target: exchange?.admitted.target,
      version: req.httpVersion,
      host: exchange?.admitted.host,
      app: exchange?.app,
      instance: exchange?.instanceId,
      cold: exchange?.cold ?? false,
      phases: exchange?.phases,
      status: code,
      outcome,
      error: errorCode,
      bytesIn: bytes.read,
      bytesOut: bytes.written,
      durationMs,
      requestId: exchange?.requestId,
      traceparent: exchange && traceparentOf(exchange.admitted.headers),
      userAgent: headers['user-agent'],
      referer: headers.referer,
    });
  }

  /** The client saw the beginning of an answer, or a switch of protocols, and then its end. */
  #logCut(exchange: AnyExchange, status: number, cause: unknown): void {
    const { req, seat } = exchange;
    this.#options.logRefusal(
      {
        outcome: 'upstream_gone',
        status,
        instance: seat.instanceId,
        ...this.#subject(exchange, req),
        cause: cause === undefined ? undefined : wordsOf(cause).slice(0, longestLogged),
      },
      exchange.kind === 'request' ? 'answer cut short' : 'upgraded connection cut short',
    );
  }

  #subject(exchange: AnyExchange | undefined, req: ClientRequest): Record<string, unknown> {
    const { clients } = this.#options;
    return {
      app: exchange?.app,
      client: clients && clientOf(clients, req, exchange),
      host: exchange?.admitted.host.slice(0, longestLogged),
      method: req.method,
    };
  }

  #log(exchange: AnyExchange | undefined, req: ClientRequest, error: RequestError, message: string): void {
    this.#options.logRefusal(
      {
        code: error.code,
        reference: error.reference,
        ...this.#subject(exchange, req),
        detail: error.message.slice(0, longestLogged),
        cause: causeOf(error)?.slice(0, longestLogged),
        stack: stackOf(error)?.slice(0, longestStack),
      },
      message,
    );
  }
}

/** Whether the app says anything of its requests that has to be looked at before one gets a seat. */
function hasTerms({ wake, requests }: LocalApp['app']): boolean {
  return wake.rules.length > 0 || requests.perClient !== undefined || requests.perApp !== undefined;
}

/** The connection takes no further request. */
function endAfter(res: ClientResponse): void {
  if (res instanceof StreamResponse) res.endConnection();
  else res.shouldKeepAlive = false;
}

/** Whether an instance is ready, or paused and so ready within milliseconds. */
function isServing({ instances }: Deployment): boolean {
  return instances.some((each) => each.state === 'ready' || isSuspended(each));
}

/** Whether a request is that of a waiting page for the end of the boot, which is ours to answer. */
function isFollowing(exchange: AnyExchange, { app }: LocalApp): exchange is RequestExchange {
  return exchange.admitted.target === followPath && app.waiting === 'page' && exchange.kind === 'request';
}

function isQueueTimeout(error: unknown): error is RequestError {
  return error instanceof RequestError && error.code === 'queue_timeout';
}

function clientSignal(exchange: AnyExchange): AbortSignal {
  if (exchange.gone) return exchange.gone.signal;
  const gone = new AbortController();
  exchange.gone = gone;
  const stream = exchange.kind === 'request' ? exchange.res : exchange.socket;
  if (stream.destroyed) gone.abort(new ClientGone());
  else stream.once('close', () => gone.abort(new ClientGone()));
  return gone.signal;
}

function clientOf(clients: Pick<Clients, 'addressOf' | 'peerOf'>, { socket }: ClientRequest, exchange?: AnyExchange) {
  return clients.addressOf(socket, exchange?.admitted.proxyHeaders) ?? clients.peerOf(socket).address;
}

function causeOf({ cause }: RequestError): string | undefined {
  return cause === undefined ? undefined : wordsOf(cause);
}

/** The stack of a defect of ours. */
function stackOf({ code, cause }: RequestError): string | undefined {
  return code === 'internal_error' && cause instanceof Error ? cause.stack : undefined;
}
