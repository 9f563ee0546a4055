import { createServer, type IncomingMessage, type Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { RequestError } from '../model/errors.js';
import { endConnection } from './end-connection.js';
import { watchEnd } from './end-watch.js';
import { answerErrorRaw } from './error-answer.js';
import { watchQueued } from './queued-answers.js';

export interface ListenerOptions {
  readonly maxHeaderSizeBytes: number;
  readonly headersTimeoutMs: number;
  readonly keepAliveTimeoutMs: number;
  readonly maxConnections: number;
  readonly onRequest: (req: IncomingMessage, res: ServerResponse) => void;
  readonly onUpgrade: (req: IncomingMessage, socket: Duplex, head: Buffer) => void;
  /** What node's parser refused before there was a request; it has been answered. */
  readonly onRefused: (error: RequestError, remoteAddress: string | undefined) => void;
}

export interface Listener {
  /** Resolves to the bound address, `host:port`. Rejects with the system's error. */
  listen(address: { readonly host?: string; readonly port: number }): Promise<string>;
  /** Stops accepting; requests under way finish and their connections close. Resolves when none is left. */
  close(): Promise<void>;
  /** Closes every connection at once. */
  destroy(): Promise<void>;
}

/** A dead peer is found after about this long without a packet. */
const tcpKeepAliveMs = 60_000;

/** The data side: a plain node:http server with everything bounded. */
export function createListener(options: ListenerOptions): Listener {
  const server = createServer({
    maxHeaderSize: options.maxHeaderSizeBytes,
    headersTimeout: options.headersTimeoutMs,
    keepAliveTimeout: options.keepAliveTimeoutMs,
    // An upload may take as long as it likes as long as it flows; the body's own limit watches that.
    requestTimeout: 0,
    connectionsCheckingInterval: Math.min(5_000, Math.ceil(options.headersTimeoutMs / 2)),
    // Answered with our own error instead of node's bare one.
    requireHostHeader: false,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: tcpKeepAliveMs,
    insecureHTTPParser: false,
  });
  // Node would leave out what is beyond a number of lines in silence; admission refuses it.
  server.maxHeadersCount = 0;
  boundConnections(server, options.maxConnections);
  const onRequest = (req: IncomingMessage, res: ServerResponse) => {
    watchQueued(req, res);
    options.onRequest(req, res);
  };
  server.on('request', onRequest);
  server.on('checkContinue', onRequest);
  server.on('checkExpectation', onRequest);
  server.on('upgrade', (req, socket, head) => onUpgrade(req, socket, head, options));
  server.on('connect', (_req, socket) => {
    if (!isBusy(socket, options)) {
      refuse(socket, new RequestError('bad_request', 'CONNECT is not for this server.'), options);
    }
  });
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => onClientError(error, socket, options));
  return {
    listen: (address) => listen(server, address),
    close: () => close(server),
    destroy: () => {
      const closed = close(server);
      server.closeAllConnections();
      return closed;
    },
  };
}

/**
 * Closes what is beyond the bound. Not by `server.maxConnections`: among several workers, node:cluster hands a connection
 * that one refuses to the next, round and round.
 */
function boundConnections(server: Server, max: number): void {
  let open = 0;
  server.on('connection', (socket) => {
    open += 1;
    socket.once('close', () => (open -= 1));
    if (open > max) socket.destroy();
  });
}

function listen(server: Server, { host, port }: { readonly host?: string; readonly port: number }): Promise<string> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen({ port, ...(host === undefined ? {} : { host }), backlog: 4_096 }, () => {
      server.off('error', reject);
      const { address, port: bound, family } = server.address() as AddressInfo;
      resolve(family === 'IPv6' ? `[${address}]:${bound}` : `${address}:${bound}`);
    });
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    if (!server.listening) return resolve();
    server.close(() => resolve());
    server.closeIdleConnections();
  });
}

/** Only a GET for a WebSocket or another real upgrade leaves HTTP; an offer of HTTP/2 may be ignored, and is. */
function onUpgrade(req: IncomingMessage, socket: Duplex, head: Buffer, options: ListenerOptions): void {
  if (isBusy(socket, options)) return;
  socket.on('error', () => socket.destroy());
  // It would be forwarded with a length and without a body, and the app would wait for it.
  if (Number(req.headers['content-length'] ?? 0) > 0 || req.headers['transfer-encoding'] !== undefined) {
    return refuse(socket, new RequestError('bad_request', 'A request with a body cannot ask for an upgrade.'), options);
  }
  if (req.method === 'GET' && !/^\s*h2c\b/i.test(req.headers.upgrade ?? '')) {
    watchEnd(socket);
    return options.onUpgrade(req, socket, head);
  }
  // Node has let go of the connection; it ends with this one answer.
  const res = new ServerResponse(req);
  res.shouldKeepAlive = false;
  res.assignSocket(socket as never);
  watchEnd(socket);
  res.on('finish', () => {
    res.detachSocket(socket as never);
    endConnection(socket);
  });
  options.onRequest(req, res);
}

function onClientError(error: NodeJS.ErrnoException, socket: Duplex, options: ListenerOptions): void {
  // Nothing can be answered to a peer that is gone, or in the middle of another answer.
  if (error.code === 'ECONNRESET' || !socket.writable || isAnswering(socket)) {
    socket.destroy();
    return;
  }
  refuse(socket, parserError(error), options);
}

/**
 * Whether an answer to an earlier request is still under way where node has let go of the connection: a client that sends
 * such a request behind another one. Both would write to it, and nothing drains it any more; so it is closed.
 */
function isBusy(socket: Duplex & { _httpMessage?: ServerResponse | null }, { onRefused }: ListenerOptions): boolean {
  if (!socket._httpMessage) return false;
  socket.on('error', () => {});
  socket.destroy();
  const detail = 'A request that takes over its connection came before the answer to the one before it.';
  onRefused(new RequestError('bad_request', detail), remoteOf(socket));
  return true;
}

function refuse(socket: Duplex, error: RequestError, { onRefused }: ListenerOptions): void {
  answerErrorRaw(socket, error);
  onRefused(error, remoteOf(socket));
}

function remoteOf(socket: Duplex): string | undefined {
  return 'remoteAddress' in socket ? String(socket.remoteAddress) : undefined;
}

/** Node keeps the response under way on the socket; writing beside it would corrupt it. */
function isAnswering(socket: Duplex & { _httpMessage?: ServerResponse | null }): boolean {
  return socket._httpMessage?.headersSent === true;
}

function parserError(error: NodeJS.ErrnoException & { reason?: string }): RequestError {
  switch (error.code) {
    case 'HPE_HEADER_OVERFLOW':
      return new RequestError('headers_too_large', undefined, { cause: error });
    case 'HPE_CHUNK_EXTENSIONS_OVERFLOW':
      return new RequestError('payload_too_large', 'The chunk extensions are too large.', { cause: error });
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return new RequestError('bad_request', 'The request header did not arrive in time.', { cause: error });
    default:
      return new RequestError('bad_request', error.reason ?? 'The request is not valid HTTP.', { cause: error });
  }
}
