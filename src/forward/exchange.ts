import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import type { Seat } from '../uses/seat.js';
import type { RequestError } from '../model/errors.js';
import type { Admitted } from './request-headers.js';

/** How an answered request ended. */
export type ForwardOutcome = 'complete' | 'client_gone' | 'upstream_gone';

/** What forwarding needs of an exchange and how it reports. The seat is released before either report; exactly one comes. */
interface Forwarded {
  readonly req: IncomingMessage;
  readonly admitted: Admitted;
  readonly seat: Seat;
  /** What the upstream is told, flat; set when the request is first sent. */
  upstreamHeaders: string[] | undefined;
  /** Nothing was sent to the client. `replayable`: the same request may be sent again. */
  onFailed(error: RequestError, replayable: boolean): void;
  /** The client got this status, or as much of it as there was before `cause`. */
  onFinished(statusCode: number, outcome: ForwardOutcome, cause?: unknown): void;
}

export interface HttpExchange extends Forwarded {
  readonly res: ServerResponse;
  /** Phases of a boot for the Server-Timing header of a cold response; the first byte is added to it. */
  readonly serverTiming: string | undefined;
}

export interface UpgradeExchange extends Forwarded {
  /** What the client sent after its header can be read from it. */
  readonly socket: Duplex;
}
