import { createServer, type RequestListener, type Server } from 'node:http';
import type { Socket } from 'node:net';

/** Set on an answer that goes on as long as its reader takes it: event-stream.ts bounds it. */
export const isStreaming = Symbol('streaming');

declare module 'node:http' {
  interface ServerResponse {
    [isStreaming]?: boolean;
  }
}

export interface ServerLimits {
  /** Limit of connections at a time. */
  readonly connections: number;
  /** Time for a request to arrive, in milliseconds. */
  readonly requestMs: number;
  /** Time from a request to the last byte of its answer, in milliseconds: a reader that stops is cut off. */
  readonly answerMs: number;
}

export const adminLimits: ServerLimits = { connections: 100, requestMs: 10_000, answerMs: 60_000 };

/**
 * A server that bounds what its clients can hold. A connection beyond the limit replaces the one that has been idle for longest, so
 * that idle clients lock nobody out; if none is idle, it is closed.
 */
export function createBoundedServer(handle: RequestListener, limits: ServerLimits): Server {
  const { connections, requestMs, answerMs } = limits;
  const server = createServer(
    {
      // The admin side refuses it itself, in its own words.
      requireHostHeader: false,
      headersTimeout: requestMs,
      requestTimeout: requestMs,
      keepAliveTimeout: requestMs,
      connectionsCheckingInterval: Math.min(1_000, requestMs),
    },
    handle,
  );
  /** Connections without a request, the longest idle first. */
  const idle = new Set<Socket>();
  const busy = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    if (idle.size + busy.size >= connections) {
      const [oldest] = idle;
      if (!oldest) return void socket.destroy();
      idle.delete(oldest);
      oldest.destroy();
    }
    idle.add(socket);
    socket.once('close', () => {
      idle.delete(socket);
      busy.delete(socket);
    });
  });
  server.on('request', ({ socket }, response) => {
    idle.delete(socket);
    busy.add(socket);
    const timer = setTimeout(() => {
      if (!response[isStreaming]) socket.destroy();
    }, answerMs);
    response.once('close', () => {
      clearTimeout(timer);
      if (busy.delete(socket) && !socket.destroyed) idle.add(socket);
    });
  });
  return server;
}
