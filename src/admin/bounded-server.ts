import { createServer, type RequestListener, type Server } from 'node:http';
import type { Socket } from 'node:net';

export interface ServerLimits {
  /** Connections at a time. */
  readonly connections: number;
  /** For a request to arrive, in milliseconds. */
  readonly requestMs: number;
  /** From a request to the last byte of its answer, in milliseconds: a reader that stops is cut off. */
  readonly answerMs: number;
}

export const adminLimits: ServerLimits = { connections: 100, requestMs: 10_000, answerMs: 60_000 };

/**
 * A server whose clients cannot hold more than this. A newcomer beyond the limit takes the place of the oldest connection without a request
 * under way, so that idle ones lock nobody out; if there is none, it is closed.
 */
export function createBoundedServer(handle: RequestListener, limits: ServerLimits): Server {
  const { connections, requestMs, answerMs } = limits;
  const server = createServer(
    {
      headersTimeout: requestMs,
      requestTimeout: requestMs,
      keepAliveTimeout: requestMs,
      connectionsCheckingInterval: Math.min(1_000, requestMs),
    },
    handle,
  );
  /** In the order in which they came, or had their last answer. */
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
    const timer = setTimeout(() => socket.destroy(), answerMs);
    response.once('close', () => {
      clearTimeout(timer);
      if (busy.delete(socket) && !socket.destroyed) idle.add(socket);
    });
  });
  return server;
}
