import type { Duplex } from 'node:stream';

const kWatch = Symbol('end watch');

type Watched = Duplex & { [kWatch]?: () => void; readonly _readableState?: { readonly ended: boolean } };

/**
 * Notices a client that goes while its connection is set aside for an upgrade: nobody reads from it then, so that its end
 * would be seen only when somebody does. What it sends meanwhile stays where it is. A client that ends is destroyed.
 */
export function watchEnd(socket: Watched): void {
  const peek = () => {
    if (socket.readableLength === 0) socket.read(0);
    // Behind bytes that nobody reads the end is known, but not told.
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

/** Hands the connection over to whoever reads from it now. */
export function unwatchEnd(socket: Watched): void {
  socket[kWatch]?.();
  delete socket[kWatch];
}
