import { createServer, type IncomingMessage, type Server, type ServerOptions, type ServerResponse } from 'node:http';
import type { Server as HttpsServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TLSSocket } from 'node:tls';
import { RequestError } from '../model/errors.js';
import { ClientConnection } from '../forward/client-connection.js';
import { ClientWatch } from './client-watch.js';
import type { ConnectionBounds } from './connection-bounds.js';
import { Http2Connection, type Http2Options } from './http2-connection.js';
import { watchEnd } from '../forward/end-watch.js';
import type { ClientRequest, ClientResponse } from '../forward/client-message.js';
import { answerError, answerErrorRaw } from '../forward/error-answer.js';
import { inTurn, mostPipelined } from './pipelining.js';
import { expectProxyHeaders, type ProxiedOptions } from './proxied-connections.js';
import { connectionBelow, createSecureServer, type SecureTerms } from './secure-server.js';

export interface ListenerOptions {
  readonly maxHeaderSizeBytes: number;
  readonly headersTimeoutMs: number;
  readonly keepAliveTimeoutMs: number;
  /** Shared by all listeners of a process. */
  readonly bounds: ConnectionBounds;
  /** Absent: requests come in clear text. */
  readonly tls?: SecureTerms;
  /** Present: over TLS, clients may choose HTTP/2. */
  readonly http2?: Pick<Http2Options, 'maxHeaderLines' | 'responseStallTimeoutMs' | 'onFlood'>;
  /** Present: connections of trusted proxies begin with a PROXY header. */
  readonly proxied?: Pick<ProxiedOptions, 'clients' | 'onRefused'>;
  readonly onRequest: (req: ClientRequest, res: ClientResponse) => void;
  readonly onUpgrade: (req: IncomingMessage, socket: Duplex) => void;
  /** Node's parser refused what came before it was a request; it has been answered. */
  readonly onRefused: (error: RequestError, socket: Socket) => void;
  /** A connection could not be accepted, for example for want of a descriptor. */
  readonly onAcceptFailed: (error: Error) => void;
}

export interface Listener {
  /** Resolves to the bound address, `host:port`. Rejects with the system's error. `socket`: node's handle of one that is bound to it. */
  listen(address: { readonly host?: string; readonly port: number }, socket?: object): Promise<string>;
  /** Stops accepting; requests under way finish and their connections close. Resolves when none is left. */
  close(): Promise<void>;
  /** Closes every connection at once. */
  destroy(): Promise<void>;
  /** See SecureServer; undefined without TLS. */
  readonly secure: Omit<ReturnType<typeof createSecureServer>, 'server'> | undefined;
}

/** Connections that wait for this process to accept them. */
const backlog = 4_096;
/** A dead peer is found after about this long without a packet. */
const tcpKeepAliveMs = 60_000;

/** The data side: a node:http or node:https server with everything bounded. */
export function createListener(options: ListenerOptions): Listener {
  const limits: ServerOptions = {
    maxHeaderSize: options.maxHeaderSizeBytes,
    headersTimeout: options.headersTimeoutMs,
    keepAliveTimeout: options.keepAliveTimeoutMs,
    // An upload may take any time while it flows; the bounds of the body watch that.
    requestTimeout: 0,
    connectionsCheckingInterval: Math.min(5_000, Math.ceil(options.headersTimeoutMs / 2)),
    // Answered with our own error instead of node's bare one.
    requireHostHeader: false,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: tcpKeepAliveMs,
    insecureHTTPParser: false,
  };
  const http2 = new Http2Connections(options);
  const secure =
    options.tls &&
    createSecureServer(limits, { ...options.tls, onHttp2: options.http2 && ((socket) => http2.add(socket)) });
  const server: Server | HttpsServer = secure?.server ?? createServer(limits);
  // Node would silently drop lines beyond a number; request-headers.ts refuses them.
  server.maxHeadersCount = 0;
  // A client that ends only its side still gets its answer.
  (server as unknown as { httpAllowHalfOpen: boolean }).httpAllowHalfOpen = true;
  const watch = new ClientWatch();
  /** Connections whose PROXY header or handshake is under way; node's server does not know them yet. */
  const beginning = new Set<Socket>();
  const begins = (socket: Socket) => {
    beginning.add(socket);
    socket.once('close', () => beginning.delete(socket));
  };
  server.on('connection', (socket: Socket) => {
    if (!options.bounds.take(socket)) return;
    if (secure) return begins(socket);
    beginning.delete(socket);
    watch.add(socket);
  });
  server.on('secureConnection', (socket: TLSSocket) => {
    const below = connectionBelow(socket);
    beginning.delete(below);
    options.bounds.carries(below, socket);
    // An HTTP/2 connection is always read, so that its end is an event.
    if (socket.alpnProtocol !== 'h2') watch.add(socket);
  });
  const refuse = (req: IncomingMessage, res: ServerResponse) => refuseTooMany(req, res, options);
  const onRequest = (req: IncomingMessage, res: ServerResponse) => {
    if (ClientConnection.of(req.socket)?.takes(req, res) === false) return;
    inTurn(req, res, options.onRequest, refuse);
  };
  server.on('request', onRequest);
  server.on('checkContinue', onRequest);
  server.on('checkExpectation', onRequest);
  server.on('upgrade', (req, socket, head) => onUpgrade(req, socket, head, options));
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => onClientError(error, socket, options));
  if (options.proxied) {
    const take = (socket: Socket) => {
      const isTaken = options.bounds.take(socket);
      if (isTaken) begins(socket);
      return isTaken;
    };
    expectProxyHeaders(server, { ...options.proxied, take, timeoutMs: options.headersTimeoutMs });
  }
  const closeAll = (): Promise<void> => {
    const closed = close(server);
    http2.close();
    // There is no request yet, as on a connection on which none has come.
    for (const socket of beginning) socket.destroy();
    return closed;
  };
  return {
    listen: async (address, socket) => {
      await secure?.refresh();
      const bound = await listen(server, socket ?? address);
      server.on('error', options.onAcceptFailed);
      return bound;
    },
    close: closeAll,
    destroy: () => {
      const closed = closeAll();
      http2.destroy();
      server.closeAllConnections();
      return closed;
    },
    secure,
  };
}

/** The connections of a listener that speak HTTP/2. */
class Http2Connections {
  readonly #options: ListenerOptions;
  readonly #open = new Set<Http2Connection>();

  constructor(options: ListenerOptions) {
    this.#options = options;
  }

  add(socket: TLSSocket): void {
    const { http2, bounds } = this.#options;
    if (!http2) return;
    const connection = new Http2Connection(socket, { ...this.#options, ...http2 });
    this.#open.add(connection);
    bounds.speaksHttp2(socket, connection);
    socket.once('close', () => this.#open.delete(connection));
  }

  close(): void {
    for (const connection of this.#open) connection.close();
  }

  destroy(): void {
    for (const connection of this.#open) connection.destroy();
  }
}

function listen(server: Server | HttpsServer, on: object): Promise<string> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(on, backlog, () => {
      server.off('error', reject);
      const { address, port: bound, family } = server.address() as AddressInfo;
      resolve(family === 'IPv6' ? `[${address}]:${bound}` : `${address}:${bound}`);
    });
  });
}

function close(server: Server | HttpsServer): Promise<void> {
  return new Promise((resolve) => {
    if (!server.listening) return resolve();
    server.close(() => resolve());
    server.closeIdleConnections();
  });
}

/** Node has let go of the connection; what came after the header is put back into it. */
function onUpgrade(req: IncomingMessage, socket: Duplex, head: Buffer, options: ListenerOptions): void {
  options.bounds.leavesHttp(socket as Socket);
  socket.on('error', () => socket.destroy());
  if (head.length > 0) socket.unshift(head);
  watchEnd(socket);
  options.onUpgrade(req, socket);
}

/**
 * What came cannot be parsed, or came too late. Earlier requests are answered first, and nothing after it is looked at. If it was
 * in the body of a request, that request is refused.
 */
function onClientError(error: NodeJS.ErrnoException, socket: Duplex, options: ListenerOptions): void {
  const connection = ClientConnection.of(socket);
  if ((connection?.isOpen === false || connection?.isOver) && isOfParser(error)) return;
  // A browser connects ahead and may never ask: an answer would be taken for the one to its first request.
  const isUnused = error.code === 'ERR_HTTP_REQUEST_TIMEOUT' && (socket as Socket).bytesRead === 0;
  if (isUnused || !isOfParser(error) || !socket.writable) {
    socket.destroy();
    return;
  }
  connection?.close();
  const { onRefused } = options;
  const refusal = parserError(error);
  const pending = connection?.pending;
  if (pending === undefined) answerErrorRaw(socket, refusal);
  else if (!pending.req.complete) refuseHalf(pending, refusal);
  else if (pending.shouldKeepAlive)
    pending.once('finish', () => void (socket.writable && answerErrorRaw(socket, refusal)));
  onRefused(refusal, socket as Socket);
}

/** Refuses a request in the middle of its body; to those that work on it the client is gone. */
function refuseHalf(res: ServerResponse, refusal: RequestError): void {
  res.emit('close');
  answerError(res.req, res, refusal);
}

/** Errors of the connection itself have other codes; a peer that is gone gets no answer. */
function isOfParser({ code = '' }: NodeJS.ErrnoException): boolean {
  return code.startsWith('HPE_') || code === 'ERR_HTTP_REQUEST_TIMEOUT';
}

function refuseTooMany(req: IncomingMessage, res: ServerResponse, { onRefused }: ListenerOptions): void {
  const error = new RequestError(
    'queue_full',
    `More than ${mostPipelined} requests were sent ahead on one connection.`,
  );
  answerError(req, res, error);
  onRefused(error, req.socket);
}

interface ParserError extends NodeJS.ErrnoException {
  readonly reason?: string;
  readonly rawPacket?: Buffer;
  readonly bytesParsed?: number;
}

function parserError(error: ParserError): RequestError {
  switch (error.code) {
    case 'HPE_INVALID_METHOD':
      if (!isRequestLine(error)) break;
      return new RequestError('method_unknown', undefined, { cause: error });
    case 'HPE_HEADER_OVERFLOW':
      return new RequestError('headers_too_large', undefined, { cause: error });
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return new RequestError('payload_too_large', 'The chunk extensions are too large.', { cause: error });
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new RequestError('bad_request', 'The request header did not arrive in time.', { cause: error });
    default:
      break;
  }
  return new RequestError('bad_request', error.reason ?? 'The request is not valid HTTP.', { cause: error });
}

/** Characters of a request line that are looked at if its method is not known. */
const longestLine = 16_384;
const requestLine = /^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100} [!-~\x80-\xff]+ HTTP\/1\.[01]$/;

/** Whether the parser stopped at a whole and valid request line. */
function isRequestLine({ rawPacket, bytesParsed = 0 }: ParserError): boolean {
  if (!rawPacket) return false;
  const from = rawPacket.lastIndexOf('\n', Math.max(0, bytesParsed - 1)) + 1;
  const text = rawPacket.toString('latin1', from, from + longestLine);
  return requestLine.test(text.slice(0, Math.max(0, text.indexOf('\r\n'))));
}
