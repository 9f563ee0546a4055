/** What a client may send without an end although it asks for nothing: settings, pings, and requests that it takes back. */
export type Unasked = 'settings' | 'ping' | 'reset';

const costs: Readonly<Record<Unasked, number>> = { settings: 10, ping: 1, reset: 5 };
/** Cancelling a page of 100 requests twice, or a thousand pings. */
const most = 1_000;
const perSecond = 100;
/** A client that measures its connection pings while bytes flow: some of gRPC once per round trip. */
const bytesPerUnit = 1_024;

/** How much of that one connection may send: a bucket that fills with time, and with the bytes that it carries. */
export class UnaskedFrames {
  #left = most;
  #at: number;
  #bytes: number;

  /** `now` in monotonic milliseconds; `bytes`: of the connection, both ways. */
  constructor(now: number, bytes: number) {
    this.#at = now;
    this.#bytes = bytes;
  }

  /** False if it is too much. */
  spend(kind: Unasked, now: number, bytes: number): boolean {
    const filled = ((now - this.#at) * perSecond) / 1_000 + Math.max(0, bytes - this.#bytes) / bytesPerUnit;
    this.#at = now;
    this.#bytes = bytes;
    this.#left = Math.min(most, this.#left + filled) - costs[kind];
    return this.#left >= 0;
  }
}
