import type { Server, Socket } from 'node:net';
import type { Clients } from '../forward/clients.js';
import { readProxyHeader } from './proxy-header.js';

export interface ProxiedOptions {
  readonly clients: Pick<Clients, 'peerOf' | 'proxied'>;
  /** How long the header may take. */
  readonly timeoutMs: number;
  /** Takes a connection as that of the proxy, or closes it and returns false. */
  readonly take: (socket: Socket) => boolean;
  /** A connection of a trusted proxy was closed because of its header. */
  readonly onRefused: (socket: Socket, reason: string) => void;
}

/**
 * Has connections of trusted proxies begin with a PROXY header, which tells their client. The server gets them only then, as if they had
 * just been made. Everybody else is a client of its own and sends none. Call it when the server has all its listeners.
 */
export function expectProxyHeaders(server: Server, options: ProxiedOptions): void {
  const serve = server.listeners('connection');
  server.removeAllListeners('connection');
  server.on('connection', (socket: Socket) => {
    const begin = () => {
      for (const listener of serve) listener.call(server, socket);
    };
    if (!options.clients.peerOf(socket).trusted) return begin();
    if (options.take(socket)) readHeader(socket, options, begin);
  });
}

function readHeader(socket: Socket, { clients, timeoutMs, onRefused }: ProxiedOptions, begin: () => void): void {
  let held: Buffer = Buffer.alloc(0);
  const stop = () => {
    clearTimeout(deadline);
    socket.off('readable', read);
    socket.off('close', stop);
    socket.off('end', end);
    socket.off('error', end);
  };
  const end = () => void socket.destroy();
  const refuse = (reason: string) => {
    onRefused(socket, reason);
    socket.destroy();
  };
  const read = () => {
    const chunk = socket.read() as Buffer | null;
    if (chunk === null) return;
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk]);
    let header;
    try {
      header = readProxyHeader(held);
    } catch (error) {
      return refuse((error as Error).message);
    }
    if (header === undefined) return;
    stop();
    if (held.length > header.length) socket.unshift(held.subarray(header.length));
    clients.proxied(socket, header.source);
    begin();
  };
  const deadline = setTimeout(() => refuse('its PROXY header did not come in time'), timeoutMs).unref();
  socket.on('readable', read);
  socket.on('close', stop);
  socket.on('end', end);
  socket.on('error', end);
}
