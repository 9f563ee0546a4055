import type { Socket } from 'node:net';

/** A write failed because the other side has closed. */
const isLoss = ({ code }: NodeJS.ErrnoException) => code === 'EPIPE' || code === 'ECONNRESET';

type Done = (error?: Error | null) => void;
type Known = Socket & { readonly _handle?: { getpeername?(into: object): number } | null };

/**
 * Lets all that came on a connection be read before the error that broke it. An app may answer and close before it has read the
 * whole request: that resets the connection, and a failed write would cost the answer. The error is reported in place of the
 * end, after all that came.
 */
export function readFirst(socket: Known): void {
  const { _write, _writev, destroy, push, read } = socket;
  let failure: Error | undefined;
  /** No more bytes come. */
  let isOver = false;
  let done: Done | undefined;
  // The system reports the error once; reading on gives what came, and then an end.
  const written: Done = (error) => {
    if (!error || !isLoss(error) || socket.destroyed) done?.(error);
    else if (!isOver) failure ??= error;
  };
  const fail = (error: Error) => {
    isOver = true;
    failure ??= error;
    if (socket.readableLength === 0) destroy.call(socket, failure);
  };
  socket._write = (chunk, encoding, callback) => {
    done = callback;
    _write.call(socket, chunk, encoding, written);
  };
  if (_writev) {
    socket._writev = (chunks, callback) => {
      done = callback;
      _writev.call(socket, chunks, written);
    };
  }
  socket.push = (chunk, encoding) => {
    if (chunk !== null) return push.call(socket, chunk, encoding);
    if (failure !== undefined || isReset(socket)) fail(resetError());
    else {
      isOver = true;
      push.call(socket, null);
    }
    return false;
  };
  socket.destroy = (error?: NodeJS.ErrnoException) => {
    if (error?.syscall !== 'read') return destroy.call(socket, error);
    fail(error);
    return socket;
  };
  socket.read = (size) => {
    if (!isOver || failure === undefined || socket.readableLength > 0) return read.call(socket, size);
    destroy.call(socket, failure);
    return null;
  };
}

/** Whether the end was a reset, which libuv reports as a good end. */
function isReset({ _handle }: Known): boolean {
  return (_handle?.getpeername?.({}) ?? 0) !== 0;
}

function resetError(): Error {
  return Object.assign(new Error('the connection was reset'), { code: 'ECONNRESET' });
}
