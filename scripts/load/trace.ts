import { randomUUID } from 'node:crypto';
import type { ClientRequest } from 'node:http';

/** What is known of one exchange while it is under way, for whoever has to judge its failure. Times: performance.now(). */
export interface Trace {
  /** Sent as `x-trace`; the app notes it in its journal. */
  readonly id: string;
  readonly kind: string;
  readonly startedAt: number;
  app?: string;
  /** Where the dispatcher listens, and the client's own end of the connection. */
  port?: number;
  clientPort?: number | undefined;
  /** Whether a dispatcher may send it to an instance twice: idempotent and without a body. */
  replayable: boolean;
  /** The app's answer, or its 101, has begun. */
  answered: boolean;
}

export function newTrace(kind: string): Trace {
  return { id: randomUUID(), kind, startedAt: performance.now(), replayable: true, answered: false };
}

/** Notes which connection carries the request. */
export function noteConnection(trace: Trace, req: ClientRequest): void {
  req.on('socket', (socket) => {
    const note = () => (trace.clientPort = socket.localPort);
    if (socket.connecting) socket.once('connect', note);
    else note();
  });
}
