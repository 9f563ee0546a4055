import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import httpProxy from 'http-proxy';
import { buildConnector } from '../libraries/undici.js';
import { RequestError } from '../model/errors.js';
import { noteBusy } from './busy.js';
import { isOurs } from './proxy-headers.js';
import { Connection } from './connection.js';
import { type Breakable, contain, contained } from './contained.js';
import type { UpgradeExchange } from './exchange.js';
import { endConnection } from './end-connection.js';
import { unwatchEnd } from './end-watch.js';
import { ConnectorAgent, type ListenerOf, provenConnector } from './proven-connector.js';
import { reset } from './reset.js';
import { responseHeaders } from './response-headers.js';
import { passGathered } from './small-chunks.js';
import { endlessInterim, mostInterim } from './interim.js';
import { unsendable, upstreamError } from './upstream-error.js';
import { connectTimeoutMs, type UpstreamCount } from './upstreams.js';

/** What came after the client's header is still in its socket, for the attempt that joins the two. */
const noHead = Buffer.alloc(0);

/** Carries requests that change the protocol of their connection, through http-proxy's WebSocket side. */
export class Upgrades {
  readonly #proxy = httpProxy.createProxyServer({});
  readonly #connect = buildConnector({ timeout: connectTimeoutMs, autoSelectFamily: false });
  readonly #listenerOf: ListenerOf;
  readonly #count: UpstreamCount;
  readonly #onSilenced: (exchange: UpgradeExchange) => void;
  /** Attempts between `ws` and its event, which comes in the same tick. */
  readonly #pending = new WeakMap<IncomingMessage, Attempt>();
  readonly #stallMs: number;

  /**
   * Gives up a client that takes nothing of what waits for it for `stallMs`. Calls `onSilenced` when an upgraded connection is ended
   * because nothing flowed on it.
   */
  constructor(
    listenerOf: ListenerOf,
    count: UpstreamCount,
    stallMs: number,
    onSilenced: (exchange: UpgradeExchange) => void,
  ) {
    this.#listenerOf = listenerOf;
    this.#count = count;
    this.#stallMs = stallMs;
    this.#onSilenced = onSilenced;
    this.#proxy.on('proxyReqWs', (proxyReq, req) => {
      proxyReq.once('socket', (socket) => {
        this.#count.opening();
        socket.once('close', () => this.#count.closed());
      });
      this.#pending.get(req)?.onRequest(proxyReq);
    });
    // Each attempt handles its own failures; without a listener http-proxy would throw.
    this.#proxy.on('error', () => {});
  }

  /** `headers`: for the upstream, flat, with Host. */
  forward(exchange: UpgradeExchange, headers: string[]): void {
    const attempt = new Attempt(exchange, headers, this.#stallMs, () => this.#onSilenced(exchange));
    const { socket, seat } = exchange;
    const req = exchange.req as IncomingMessage;
    this.#pending.set(req, attempt);
    const listener = this.#listenerOf(seat);
    const agent = listener && new ConnectorAgent(provenConnector(this.#connect, listener));
    const target = { host: seat.address.host, port: seat.address.port } as never;
    // http-proxy takes only WebSockets; onRequest puts back what the client really asked for.
    req.headers.upgrade = 'websocket';
    // Node would write the header at once, before onRequest.
    delete req.headers.expect;
    try {
      this.#proxy.ws(req, socket, noHead, { target, ...(agent ? { agent } : {}) });
    } catch (error) {
      return attempt.refuse(unsendable(error));
    } finally {
      this.#pending.delete(req);
    }
    contain(attempt, () => attempt.begin());
  }
}

/** A timer that is set for longer fires at once. */
const longestTimerMs = 2 ** 31 - 1;

type Join = (response: IncomingMessage, upstream: Duplex, head: Buffer) => void;

/** One attempt to switch protocols with an instance. */
class Attempt implements Breakable {
  readonly #exchange: UpgradeExchange;
  readonly #headers: string[];
  readonly #stallMs: number;
  readonly #onSilenced: () => void;
  #proxyReq: ClientRequest | undefined;
  #settled = false;
  #connected = false;
  /** The status that was sent to the client. */
  #answered: number | undefined;
  #deadline: NodeJS.Timeout | undefined;
  readonly #onClientGone = () => {
    this.#proxyReq?.destroy();
    this.#settle(() => this.#exchange.onFinished(499, 'client_gone'));
  };

  constructor(exchange: UpgradeExchange, headers: string[], stallMs: number, onSilenced: () => void) {
    this.#exchange = exchange;
    this.#onSilenced = onSilenced;
    this.#headers = headers;
    this.#stallMs = stallMs;
  }

  /** Sets the header of the request that http-proxy made and has not sent yet. */
  onRequest(proxyReq: ClientRequest): void {
    this.#proxyReq = proxyReq;
    const { admitted, seat } = this.#exchange;
    // Keeps all header lines of the answer; by default node drops those beyond a number.
    proxyReq.maxHeadersCount = 0;
    proxyReq.path = admitted.target;
    for (const name of proxyReq.getHeaderNames()) proxyReq.removeHeader(name);
    for (let index = 0; index < this.#headers.length; index += 2) {
      proxyReq.appendHeader(this.#headers[index] as string, this.#headers[index + 1] as string);
    }
    proxyReq.setHeader('Connection', 'Upgrade');
    proxyReq.setHeader('Upgrade', admitted.upgrade ?? 'websocket');
    proxyReq.on('socket', (socket) => {
      if (socket.connecting) socket.once('connect', () => (this.#connected = true));
      else this.#connected = true;
    });
    // Counted from the request, not the last byte: interim answers or a dripping header would prolong it for ever.
    const limitMs = Math.min(seat.app.requestTimeoutMs, longestTimerMs);
    this.#deadline = setTimeout(() => proxyReq.destroy(new RequestError('upstream_timeout')), limitMs).unref();
  }

  begin(): void {
    const { socket, seat } = this.#exchange;
    const proxyReq = this.#proxyReq;
    if (!proxyReq) return this.#settle(() => this.#exchange.onFinished(499, 'client_gone'));
    const [join] = proxyReq.listeners('upgrade') as Join[];
    // http-proxy would end the client's connection on any failure, so that there could be no other attempt; it would announce
    // chunks and send none if the app does not switch; and it would believe any switch.
    proxyReq.removeAllListeners('error').removeAllListeners('response').removeAllListeners('upgrade');
    proxyReq.on(
      'error',
      contained(this, (error: Error) => this.#onError(error)),
    );
    let interim = 0;
    proxyReq.on('information', () => {
      if ((interim += 1) > mostInterim) proxyReq.destroy(endlessInterim());
    });
    proxyReq.on(
      'response',
      contained(this, (response: IncomingMessage) => this.#onRefusal(response)),
    );
    proxyReq.on(
      'upgrade',
      contained(this, (response: IncomingMessage, upstream: Duplex, head: Buffer) =>
        this.#onUpgrade(response, upstream, () => join?.call(proxyReq, response, upstream, head)),
      ),
    );
    socket.on('close', this.#onClientGone);
    seat.occupant = { cut: () => proxyReq.destroy(new RequestError('upstream_reset')) };
    if (socket.destroyed) this.#onClientGone();
  }

  /** The request cannot be handed to the instance, or its answer not to the client. */
  refuse(error: RequestError): void {
    this.#dropUpstream();
    this.#settle(() => this.#exchange.onFailed(error, false));
  }

  broke(error: Error): void {
    this.#dropUpstream();
    const { socket } = this.#exchange;
    const status = this.#answered;
    if (status === undefined) return this.#settle(() => this.#exchange.onFailed(upstreamError(error, true), false));
    socket.destroy();
    this.#settle(() => this.#exchange.onFinished(status, 'upstream_gone', error));
  }

  #onUpgrade(response: IncomingMessage, upstream: Duplex, join: () => void): void {
    upstream.on('error', () => {});
    if (this.#settled) return void upstream.destroy();
    const { socket, seat, admitted } = this.#exchange;
    const protocol = response.headers.upgrade ?? '';
    if (!isOffered(protocol, admitted.upgrade ?? '')) {
      upstream.destroy();
      const detail = `The app switched to ${JSON.stringify(protocol)}, which the client did not offer.`;
      return this.refuse(new RequestError('upstream_reset', detail));
    }
    socket.off('close', this.#onClientGone);
    clearTimeout(this.#deadline);
    this.#answered = 101;
    unwatchEnd(socket);
    // http-proxy writes each header name once: given all lines as one header, it keeps their case, order and bytes.
    response.headers = asOne(response.rawHeaders);
    socket.setDefaultEncoding('latin1');
    join();
    socket.setDefaultEncoding('utf8');
    const isWebSocket = protocol.toLowerCase() === 'websocket';
    const onEnded = (outcome: 'complete' | 'upstream_gone', cause?: Error) =>
      this.#settle(() => this.#exchange.onFinished(101, outcome, cause));
    noteBusy(seat, response.rawHeaders);
    const watched = { stallMs: this.#stallMs, onSilenced: this.#onSilenced };
    new Connection({ client: socket, upstream, seat, isWebSocket, ...watched, onEnded });
  }

  /** The app answers instead of switching: its answer is the client's, and the connection ends with it. */
  #onRefusal(response: IncomingMessage): void {
    if (this.#settled) return void response.destroy();
    const { socket } = this.#exchange;
    const statusCode = response.statusCode ?? 502;
    if (statusCode === 101)
      return this.refuse(new RequestError('upstream_reset', 'The app switched protocols without naming one.'));
    const raw = response.rawHeaders.map((text) => Buffer.from(text, 'latin1'));
    const headers = responseHeaders(raw, statusCode, false);
    noteBusy(this.#exchange.seat, raw);
    const lines = [`HTTP/1.1 ${statusCode} ${response.statusMessage ?? ''}`];
    for (let index = 0; index < headers.length; index += 2) lines.push(`${headers[index]}: ${headers[index + 1]}`);
    socket.off('close', this.#onClientGone);
    clearTimeout(this.#deadline);
    socket.on(
      'close',
      contained(this, () => {
        response.destroy();
        this.#settle(() => this.#exchange.onFinished(statusCode, 'client_gone'));
      }),
    );
    if (socket.destroyed) return void response.destroy();
    this.#answered = statusCode;
    // What the client sent for another protocol is read and thrown away, so that its end is seen.
    unwatchEnd(socket);
    socket.on('end', () => socket.destroy());
    socket.resume();
    // A 426 that keeps its Upgrade has to name it: RFC 9110 §7.8.
    const connection = statusCode === 426 && response.headers.upgrade !== undefined ? 'Upgrade, close' : 'close';
    socket.write(`${lines.join('\r\n')}\r\nConnection: ${connection}\r\n\r\n`, 'latin1');
    passGathered(response, socket);
    response.on(
      'end',
      contained(this, () => {
        this.#settle(() => this.#exchange.onFinished(statusCode, 'complete'));
        endConnection(socket);
      }),
    );
    // A clean end would pass off half an answer as a whole one.
    response.on(
      'error',
      contained(this, (error: Error) => {
        this.#settle(() => this.#exchange.onFinished(statusCode, 'upstream_gone', error));
        reset(socket as Socket);
      }),
    );
  }

  #onError(error: Error): void {
    const failure = upstreamError(error, this.#connected);
    // An upgrade is a GET without a body: it may be sent again as long as nothing was answered.
    const replayable = failure.code === 'upstream_unreachable' || failure.code === 'upstream_reset';
    this.#settle(() => this.#exchange.onFailed(failure, replayable));
  }

  #dropUpstream(): void {
    this.#proxyReq?.on('error', () => {}).destroy();
  }

  #settle(report: () => void): void {
    if (this.#settled) return;
    this.#settled = true;
    clearTimeout(this.#deadline);
    const { socket, seat } = this.#exchange;
    socket.off('close', this.#onClientGone);
    seat.occupant = undefined;
    seat.release();
    report();
  }
}

/** Whether the app's choice is among what the client offered. */
function isOffered(chosen: string, offered: string): boolean {
  const offers = new Set(protocols(offered));
  const choice = protocols(chosen);
  return choice.length > 0 && choice.every((protocol) => offers.has(protocol));
}

function protocols(list: string): string[] {
  return list
    .toLowerCase()
    .split(',')
    .map((protocol) => protocol.trim())
    .filter((protocol) => protocol !== '');
}

/** All header lines as one header's name and value, without those that frame a body and those that only we may send. */
function asOne(raw: readonly string[]): Record<string, string> {
  const lines: [string, string][] = [];
  for (let index = 0; index < raw.length; index += 2) {
    const [name, value] = [raw[index] as string, raw[index + 1] as string];
    if (!/^(content-length|transfer-encoding)$/i.test(name) && !isOurs(name)) lines.push([name, value]);
  }
  const [name, value] = lines.pop() as [string, string];
  return { [[...lines.map((line) => line.join(': ')), name].join('\r\n')]: value };
}
