/** Checks within the limit; a stall is noticed at most one check late. */
const checks = 2;

/** The handle alone knows what the kernel has not taken yet; over TLS it is the one below. */
interface Handle {
  readonly bytesWritten?: number;
  readonly writeQueueSize?: number;
  readonly _parent?: Handle;
}

/** What is watched: a connection, or an answer on a stream of one. */
interface Taker {
  readonly writableLength: number;
  readonly bytesWritten?: number;
  readonly _handle?: Handle | null;
  on(event: 'close', listener: () => void): unknown;
  off(event: 'close', listener: () => void): unknown;
}

/**
 * Calls `onStalled` when the client has taken nothing for `limitMs` while `isWaiting` said that something waits to be sent. Ends
 * after that, with the connection, or by the function that it returns.
 */
export function watchStall(
  socket: Taker,
  limitMs: number,
  isWaiting: () => boolean,
  onStalled: () => void,
): () => void {
  let delivered = -1;
  let silent = 0;
  const timer = setInterval(() => {
    const now = deliveredBy(socket);
    silent = isWaiting() && now === delivered ? silent + 1 : 0;
    delivered = now;
    if (silent < checks) return;
    end();
    onStalled();
  }, limitMs / checks).unref();
  const end = () => {
    clearInterval(timer);
    socket.off('close', end);
  };
  socket.on('close', end);
  return end;
}

function deliveredBy(socket: Taker): number {
  const encrypted = socket._handle?._parent;
  if (encrypted) return (encrypted.bytesWritten ?? 0) - (encrypted.writeQueueSize ?? 0);
  return (socket.bytesWritten ?? 0) - (socket._handle?.writeQueueSize ?? 0) - socket.writableLength;
}
