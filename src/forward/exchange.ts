import type { Duplex } from 'node:stream';
import type { Seat } from '../uses/seat.js';
import type { AffinityMark } from './affinity-mark.js';
import type { ClientRequest, ClientResponse } from './client-message.js';
import type { RequestError } from '../model/errors.js';
import type { Admitted } from './request-headers.js';

/** How an answered request ended. */
export type ForwardOutcome = 'complete' | 'client_gone' | 'upstream_gone';

/** What forwarding needs of an exchange, and its two reports: exactly one comes, after the seat was released. */
interface Forwarded {
  readonly req: ClientRequest;
  readonly admitted: Admitted;
  readonly seat: Seat;
  /** How often it was sent in vain. */
  readonly attempts: number;
  /** The headers for the upstream, flat; set when the request is first sent. */
  upstreamHeaders: string[] | undefined;
  /** Nothing was sent to the client. `replayable`: the request may be sent again. */
  onFailed(error: RequestError, replayable: boolean): void;
  /** The client got this status, and an answer that is whole unless `outcome` says otherwise. */
  onFinished(statusCode: number, outcome: ForwardOutcome, cause?: unknown): void;
}

export interface HttpExchange extends Forwarded {
  readonly res: ClientResponse;
  /** Phases of a boot for the Server-Timing header of a cold response; the first byte is added to it. */
  readonly serverTiming: string | undefined;
  /** Value of a Strict-Transport-Security header for the answer, unless the app gives one. */
  readonly hsts?: string | undefined;
  /** For the answer, if the app has affinity. */
  readonly affinityMark?: AffinityMark | undefined;
}

export interface UpgradeExchange extends Forwarded {
  /** Holds what the client sent after its header. */
  readonly socket: Duplex;
}
