import type { Duplex } from 'node:stream';

const kWatch = Symbol('end watch');

type Watched = Duplex & { [kWatch]?: () => void; readonly _readableState?: { readonly ended: boolean } };

/**
 * Destroys the connection of a client that ends it while an upgrade is being prepared: nothing reads from it then, so that its end
 * would go unnoticed. What the client sends meanwhile stays in the socket.
 */
export function watchEnd(socket: Watched): void {
  const peek = () => {
    if (socket.readableLength === 0) socket.read(0);
    // An end after unread bytes is known, but no event tells it.
    else if (socket._readableState?.ended) end();
  };
  const end = () => socket.destroy();
  socket.on('readable', peek);
  socket.on('end', end);
  socket[kWatch] = () => {
    socket.off('readable', peek);
    socket.off('end', end);
  };
}

/** Ends the watch, as something else reads from the connection now. */
export function unwatchEnd(socket: Watched): void {
  socket[kWatch]?.();
  delete socket[kWatch];
}
