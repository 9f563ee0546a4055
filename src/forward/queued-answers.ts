import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

const kQueued = Symbol('queued answers');

type Queueing = Socket & { [kQueued]?: Set<ServerResponse> };

/**
 * Tells an answer that the client has gone also where it waits behind the answer to an earlier request on the same
 * connection: node emits `close` only for the answer whose turn it is, and one behind it would never be given up.
 */
export function watchQueued({ socket }: IncomingMessage, res: ServerResponse): void {
  if (res.socket !== null) return;
  const queued = ((socket as Queueing)[kQueued] ??= watch(socket));
  queued.add(res);
  res.once('finish', () => queued.delete(res));
}

function watch(socket: Socket): Set<ServerResponse> {
  const queued = new Set<ServerResponse>();
  socket.once('close', () => {
    for (const res of queued) {
      if (res.socket !== null || res.destroyed) continue;
      // As node does for the one whose turn it is; `destroy` would wait for a connection.
      res.destroyed = true;
      res.emit('close');
    }
    queued.clear();
  });
  return queued;
}
