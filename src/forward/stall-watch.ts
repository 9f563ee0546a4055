import type { Duplex } from 'node:stream';

/** Checks within the limit; a stall is noticed up to one of them late. */
const checks = 2;

/** Node tells what its own buffers hold; what the kernel has not taken yet only the handle knows. */
type WithHandle = Duplex & {
  readonly bytesWritten?: number;
  readonly _handle?: { readonly writeQueueSize?: number } | null;
};

/**
 * Calls `onStalled` when the client has taken nothing for `limitMs` while there was something to send to it. A connection on
 * which nothing waits to be sent is not stalled, for however long. Ends with the connection, or when it is called.
 */
export function watchStall(
  socket: Duplex,
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

function deliveredBy(socket: WithHandle): number {
  return (socket.bytesWritten ?? 0) - (socket._handle?.writeQueueSize ?? 0) - socket.writableLength;
}
