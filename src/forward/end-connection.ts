import type { Duplex } from 'node:stream';
import { unwatchEnd } from './end-watch.js';

/** How long a client may take to close its side after the other one has ended, in milliseconds. */
const lingerMs = 2_000;

/**
 * Ends a connection that node's server has let go of, behind what was written to it. What the client still sends is thrown
 * away, and one that does not close is closed: nobody else looks after such a connection any more.
 */
export function endConnection(socket: Duplex, last = ''): void {
  unwatchEnd(socket);
  socket.on('error', () => socket.destroy());
  socket.once('finish', () => {
    const linger = setTimeout(() => socket.destroy(), lingerMs).unref();
    socket.once('close', () => clearTimeout(linger));
  });
  socket.end(last);
  socket.resume();
}
