import type { ServerOptions } from 'node:http';
import { createServer, type Server } from 'node:https';
import type { Socket } from 'node:net';
import type { SecureContext, TLSSocket } from 'node:tls';
import { type Certificates, tlsTerms } from './certificates.js';

/**
 * How a handshake ended: with a new session or an earlier one; refused because the client named a host without a certificate, or
 * one whose certificate cannot be looked up now; too late; or broken off, by the client or because of it.
 */
export type HandshakeResult = 'full' | 'resumed' | 'unknown_name' | 'unavailable' | 'timeout' | 'failed';

export interface SecureTerms {
  readonly certificates: Certificates;
  /** Clients that name an unknown host get the certificate of those that name none. */
  readonly unknown: 'refuse' | 'default';
  readonly handshakeTimeoutMs: number;
  /** 48 bytes, the same in all processes that serve the address. */
  readonly ticketKeys: Buffer;
  readonly onHandshake: (result: HandshakeResult, error?: Error) => void;
}

export interface SecureServerOptions extends SecureTerms {
  /** Takes connections whose client chose HTTP/2; if absent, it is not offered. */
  readonly onHttp2?: ((socket: TLSSocket) => void) | undefined;
}

export interface SecureServer {
  readonly server: Server;
  /** Certificates may have changed: clients that name no host get the one there is now. */
  refresh(): Promise<void>;
  setTicketKeys(keys: Buffer): void;
}

type Below = TLSSocket & { readonly _parent?: Socket };

/** A fatal alert in the record layer of TLS 1.2, which every client understands before the handshake: RFC 8446 §5.1, §6. */
const unrecognizedName = Buffer.from([21, 3, 3, 0, 2, 2, 112]);

/** A node:https server that chooses certificates by the name that a client sends. Its limits are those of `http`. */
export function createSecureServer(http: ServerOptions, terms: SecureServerOptions): SecureServer {
  const { certificates, unknown, handshakeTimeoutMs, onHandshake, onHttp2 } = terms;
  let { ticketKeys } = terms;
  const refused = new WeakMap<TLSSocket, HandshakeResult>();
  const server = createServer({
    ...http,
    ...tlsTerms,
    ticketKeys,
    handshakeTimeout: handshakeTimeoutMs,
    ALPNProtocols: onHttp2 ? ['h2', 'http/1.1'] : ['http/1.1'],
    SNICallback: function (this: TLSSocket, name: string, done: Choose) {
      choose(this, name, done);
    } as (name: string, done: Choose) => void,
  });
  const choose = (socket: TLSSocket, name: string, done: Choose): void => {
    const found = certificates.of(name);
    if (!(found instanceof Promise)) return take(socket, found, done);
    found.then(
      (context) => take(socket, context, done),
      () => {
        refused.set(socket, 'unavailable');
        socket.destroy();
      },
    );
  };
  const take = (socket: TLSSocket, context: SecureContext | undefined, done: Choose): void => {
    // The client has gone, or its time is over.
    if (socket.destroyed) return;
    if (context || unknown === 'default') return done(null, context);
    refused.set(socket, 'unknown_name');
    refuse(socket);
  };
  if (onHttp2) takeHttp2(server, onHttp2);
  server.on('secureConnection', (socket: TLSSocket) => {
    // A client may end its side and still wait for an answer, as over TCP; one that does so before this has gone.
    if (socket.alpnProtocol !== 'h2') socket.allowHalfOpen = true;
    onHandshake(socket.isSessionReused() ? 'resumed' : 'full');
  });
  server.on('tlsClientError', (error: NodeJS.ErrnoException, socket: TLSSocket) => {
    const isLate = error.code === 'ERR_TLS_HANDSHAKE_TIMEOUT';
    onHandshake(refused.get(socket) ?? (isLate ? 'timeout' : 'failed'), error);
  });
  return {
    server,
    refresh: async () => {
      const pair = await certificates.fallback();
      if (pair) server.setSecureContext({ ...tlsTerms, ...pair, ticketKeys });
    },
    setTicketKeys: (keys) => {
      ticketKeys = keys;
      server.setTicketKeys(keys);
    },
  };
}

/** Keeps connections that speak HTTP/2 from node's server of HTTP/1.1. */
function takeHttp2(server: Server, onHttp2: (socket: TLSSocket) => void): void {
  const serve = server.listeners('secureConnection');
  server.removeAllListeners('secureConnection');
  server.on('secureConnection', (socket: TLSSocket) => {
    if (socket.alpnProtocol === 'h2') return onHttp2(socket);
    for (const listener of serve) listener.call(server, socket);
  });
}

type Choose = (error: Error | null, context?: SecureContext) => void;

/** The connection below that of TLS. */
export function connectionBelow(socket: TLSSocket): Socket {
  return (socket as Below)._parent ?? socket;
}

/** Node can only close the connection, and the client would not learn why; nothing was encrypted yet. */
function refuse(socket: TLSSocket): void {
  connectionBelow(socket).write(unrecognizedName, () => socket.destroy());
}
