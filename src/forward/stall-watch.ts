import type { Duplex } from 'node:stream';

/** Checks within the limit; a stall is noticed at most one check late. */
const checks = 2;

/** The handle alone knows what the kernel has not taken yet; over TLS it is the one below. */
interface Handle {
  readonly bytesWritten?: number;
  readonly writeQueueSize?: number;
  readonly _parent?: Handle;
}
type WithHandle = Duplex & { readonly bytesWritten?: number; readonly _handle?: Handle | null };

/**
 * Calls `onStalled` when the client has taken nothing for `limitMs` while `isWaiting` said that something waits to be sent. Ends
 * after that, with the connection, or by the function that it returns.
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
  const encrypted = socket._handle?._parent;
  if (encrypted) return (encrypted.bytesWritten ?? 0) - (encrypted.writeQueueSize ?? 0);
  return (socket.bytesWritten ?? 0) - (socket._handle?.writeQueueSize ?? 0) - socket.writableLength;
}
