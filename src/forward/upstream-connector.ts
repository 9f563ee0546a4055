import type { Socket } from 'node:net';
import { buildConnector } from 'undici';

/**
 * Connects to an instance as undici does, and shields undici 7's parser from two ways in which a connection ends. While a
 * slow client holds an answer back, an app that ended or reset its connection made undici throw where nobody can catch it
 * (https://github.com/nodejs/undici/issues/5360, mended only in the version for Node 22): any app could end the daemon.
 * And a reset was taken for the good end of an answer without a length.
 */
export function upstreamConnector(options: buildConnector.BuildOptions): buildConnector.connector {
  const connect = buildConnector(options);
  return (target, callback) =>
    connect(target, (...result) => {
      if (result[1]) shield(result[1]);
      callback(...result);
    });
}

/** undici gives back what it has not parsed when it pauses, and reads without a size when it goes on. */
function shield(socket: Socket & { _readableState?: { readonly ended: boolean } }): void {
  const { read, unshift } = socket;
  let isHeld = false;
  socket.unshift = (chunk, encoding) => {
    isHeld = true;
    if (chunk.length > 0) unshift.call(socket, chunk, encoding);
  };
  socket.read = (size) => {
    // Node itself reads zero bytes, to fetch more or to notice the end: neither before the answer goes on.
    if (size !== undefined) return isHeld ? null : read.call(socket, size);
    isHeld = false;
    const { readableLength, _readableState: state } = socket;
    // The last bytes are read by their number, which leaves the end for the next read: this one may pause again.
    return read.call(socket, state?.ended === true && readableLength > 0 ? readableLength : undefined);
  };
  socket.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'ECONNRESET') error.code = 'EPIPE';
  });
}
