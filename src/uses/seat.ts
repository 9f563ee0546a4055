import type { App } from '../model/app.js';
import type { Address, Location } from '../model/instance.js';
import type { WakingRequest } from '../model/ledger/facts.js';
import type { Verdict } from '../model/wake/verdict.js';

/** Why the dispatcher breaks off what an occupant still has under way. */
export type CutReason = 'drain_timeout' | 'idle' | 'instance_gone' | 'shutdown';

/** What occupies a seat: a request or an upgraded connection. */
export interface Occupant {
  /** Closes what is left at once: an HTTP response is broken off, a WebSocket closed with 1001. */
  cut(reason: CutReason): void;
}

/** What asks for a seat and then has it. */
export interface Holder {
  /** Address of its client; if undefined, it counts as a client of its own. */
  readonly client: string | undefined;
  /** What the app's wake rules say of it; absent: it wakes the app and counts as activity. */
  readonly verdict?: Verdict | undefined;
  /** The request as the ledger may know it; asked for only if it boots something. */
  asked?(): WakingRequest;
  /** The instance that it belongs to, if the app has affinity. */
  readonly prefers?: string | undefined;
}

/** One request's place at a ready instance. While it is held, the instance is in use and will not be terminated. */
export interface Seat {
  readonly app: App;
  readonly instanceId: string;
  readonly address: Address;
  readonly location: Location;
  /** Set by what forwards the request, so that a drain that runs out of time can end it. */
  occupant: Occupant | undefined;
  /** From now on only data that flows (touch) counts as activity, not the open seat itself: an upgraded connection. */
  countOnlyTraffic(): void;
  /** Data flowed. Cheap; call it for each chunk of an upgraded connection. */
  touch(): void;
  /** The app works on for this many milliseconds, even if the seat is released: until then its instance counts as in use. */
  busyFor(ms: number): void;
  /** Gives the seat back. Harmless twice. */
  release(): void;
}
