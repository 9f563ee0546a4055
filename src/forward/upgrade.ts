import type { ClientRequest, IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import httpProxy from 'http-proxy';
import { buildConnector } from 'undici';
import { RequestError } from '../model/errors.js';
import { Connection } from './connection.js';
import type { UpgradeExchange } from './exchange.js';
import { endConnection } from './end-connection.js';
import { unwatchEnd } from './end-watch.js';
import { ConnectorAgent, type ListenerOf, provenConnector } from './proven-connector.js';
import { responseHeaders } from './response-headers.js';
import { upstreamError } from './upstream-error.js';
import { connectTimeoutMs } from './upstreams.js';

/** Carries requests that change the protocol of their connection, through http-proxy's WebSocket side. */
export class Upgrades {
  readonly #proxy = httpProxy.createProxyServer({});
  readonly #connect = buildConnector({ timeout: connectTimeoutMs, autoSelectFamily: false });
  readonly #listenerOf: ListenerOf;
  /** From `ws` to its event, which comes in the same tick. */
  readonly #pending = new WeakMap<IncomingMessage, Attempt>();

  constructor(listenerOf: ListenerOf) {
    this.#listenerOf = listenerOf;
    this.#proxy.on('proxyReqWs', (proxyReq, req) => this.#pending.get(req)?.onRequest(proxyReq));
    // Every failure is handled where it belongs to an exchange; without a listener http-proxy would throw.
    this.#proxy.on('error', () => {});
  }

  /** `headers`: what the upstream is to get, flat, Host included. */
  forward(exchange: UpgradeExchange, headers: string[]): void {
    const attempt = new Attempt(exchange, headers);
    const { req, socket, head, seat } = exchange;
    this.#pending.set(req, attempt);
    const listener = this.#listenerOf(seat);
    const agent = listener && new ConnectorAgent(provenConnector(this.#connect, listener));
    const target = { host: seat.address.host, port: seat.address.port } as never;
    // http-proxy only takes WebSockets; what the client really asked for is put back in onRequest.
    req.headers.upgrade = 'websocket';
    try {
      this.#proxy.ws(req, socket, head, { target, ...(agent ? { agent } : {}) });
    } catch (error) {
      // Node refuses to write some headers, such as Trailer without chunks, after the connection was begun.
      return attempt.refuse(new RequestError('bad_request', 'The request cannot be passed on.', { cause: error }));
    } finally {
      this.#pending.delete(req);
    }
    attempt.begin();
  }
}

/** A timer that is set for longer fires at once. */
const longestTimerMs = 2 ** 31 - 1;

/** One attempt to switch protocols with an instance. */
class Attempt {
  readonly #exchange: UpgradeExchange;
  readonly #headers: string[];
  #proxyReq: ClientRequest | undefined;
  #settled = false;
  #connected = false;
  #deadline: NodeJS.Timeout | undefined;
  readonly #onClientGone = () => {
    this.#proxyReq?.destroy();
    this.#settle(() => this.#exchange.onFinished(499, 'client_gone'));
  };

  constructor(exchange: UpgradeExchange, headers: string[]) {
    this.#exchange = exchange;
    this.#headers = headers;
  }

  /** http-proxy made the request and has not sent it yet: this is what it shall say. */
  onRequest(proxyReq: ClientRequest): void {
    this.#proxyReq = proxyReq;
    const { admitted, seat } = this.#exchange;
    // All header lines of the answer; node leaves out what is beyond a number of them.
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
    // http-proxy joins the two in its own listener, which must find the connection free.
    proxyReq.prependListener('upgrade', () => unwatchEnd(this.#exchange.socket));
    // From the request on, not from the last byte: interim answers and a header that drips in would prolong it for ever.
    const limitMs = Math.min(seat.app.requestTimeoutMs, longestTimerMs);
    this.#deadline = setTimeout(() => proxyReq.destroy(new RequestError('upstream_timeout')), limitMs).unref();
  }

  begin(): void {
    const { socket, seat } = this.#exchange;
    if (!this.#proxyReq) return this.#settle(() => this.#exchange.onFinished(499, 'client_gone'));
    // http-proxy would end the client's connection on any failure, and another attempt with it; and where the app does not
    // switch, it would announce chunks and then send none.
    this.#proxyReq.removeAllListeners('error').removeAllListeners('response');
    this.#proxyReq.on('error', (error) => this.#onError(error));
    this.#proxyReq.on('response', (response) => this.#onRefusal(response));
    // After http-proxy has joined the two: whoever listened before would swallow what came with the header.
    this.#proxyReq.on('upgrade', (_res, upstream: Duplex) => this.#onUpgrade(upstream));
    socket.on('close', this.#onClientGone);
    seat.occupant = { cut: () => this.#proxyReq?.destroy(new RequestError('upstream_reset')) };
    if (socket.destroyed) this.#onClientGone();
  }

  /** It cannot be handed to the instance. */
  refuse(error: RequestError): void {
    this.#proxyReq?.on('error', () => {}).destroy();
    this.#settle(() => this.#exchange.onFailed(error, false));
  }

  #onUpgrade(upstream: Duplex): void {
    if (this.#settled) return;
    this.#settled = true;
    const { socket, seat, admitted } = this.#exchange;
    socket.off('close', this.#onClientGone);
    clearTimeout(this.#deadline);
    const isWebSocket = admitted.upgrade?.toLowerCase() === 'websocket';
    const onEnded = (outcome: 'complete' | 'upstream_gone') => this.#exchange.onFinished(101, outcome);
    new Connection({ client: socket, upstream, seat, isWebSocket, onEnded });
  }

  /** The app answers instead of switching: its answer is the client's, and the connection ends with it. */
  #onRefusal(response: IncomingMessage): void {
    if (this.#settled) return void response.destroy();
    const { socket } = this.#exchange;
    socket.off('close', this.#onClientGone);
    clearTimeout(this.#deadline);
    const headers = responseHeaders(
      response.rawHeaders.map((text) => Buffer.from(text, 'latin1')),
      response.statusCode ?? 502,
    );
    const lines = [`HTTP/1.1 ${response.statusCode} ${response.statusMessage ?? ''}`];
    for (let index = 0; index < headers.length; index += 2) lines.push(`${headers[index]}: ${headers[index + 1]}`);
    socket.write(`${lines.join('\r\n')}\r\nConnection: close\r\n\r\n`, 'latin1');
    response.pipe(socket, { end: false });
    response.on('end', () => endConnection(socket));
    response.on('error', () => socket.destroy());
    socket.on('close', () => {
      response.destroy();
      this.#settle(() =>
        this.#exchange.onFinished(response.statusCode ?? 502, response.complete ? 'complete' : 'client_gone'),
      );
    });
  }

  #onError(error: Error): void {
    const failure = upstreamError(error, this.#connected);
    // An upgrade has no body and is a GET: it may be asked for again as long as nobody answered.
    const replayable = failure.code === 'upstream_unreachable' || failure.code === 'upstream_reset';
    this.#settle(() => this.#exchange.onFailed(failure, replayable));
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
