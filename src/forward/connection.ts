import type { Duplex } from 'node:stream';
import type { CutReason, Occupant, Seat } from '../uses/seat.js';
import { ClientConnection } from './client-connection.js';
import { type Breakable, contained } from './contained.js';
import { FrameScanner, goingAway } from './frames.js';
import { watchStall } from './stall-watch.js';

export interface ConnectionOptions {
  readonly client: Duplex;
  readonly upstream: Duplex;
  readonly seat: Seat;
  /** A WebSocket is followed frame by frame; of any other protocol each byte counts. */
  readonly isWebSocket: boolean;
  /** Time after which a client that takes nothing of what waits for it is given up. */
  readonly stallMs: number;
  /** The connection is ended because nothing flowed on it. */
  readonly onSilenced: () => void;
  readonly onEnded: (outcome: 'complete' | 'upstream_gone', cause?: Error) => void;
}

/** How long a side may take to finish after the other one has ended, in milliseconds. */
const lingerMs = 2_000;
/** The same for other protocols than WebSocket, in which a side may end and still listen: time without a byte from the other. */
const halfClosedMs = 60_000;

/**
 * Watches an upgraded connection between client and instance, which http-proxy pipes: data that flows counts as activity, and a
 * cut ends a WebSocket with 1001 between two frames.
 */
export class Connection implements Occupant, Breakable {
  readonly #options: ConnectionOptions;
  readonly #fromClient = new FrameScanner();
  readonly #fromUpstream = new FrameScanner();
  #atBoundary = true;
  #cutting = false;
  #ended = false;
  #linger: NodeJS.Timeout | undefined;
  #isWatched = false;

  constructor(options: ConnectionOptions) {
    const { client, upstream, seat } = options;
    this.#options = options;
    seat.countOnlyTraffic();
    seat.occupant = this;
    ClientConnection.of(client)?.switched();
    client.on(
      'data',
      contained(this, (chunk: Buffer) => this.#onClientData(chunk)),
    );
    upstream.on(
      'data',
      contained(this, (chunk: Buffer) => this.#onUpstreamData(chunk)),
    );
    for (const side of [client, upstream]) {
      side.on('end', () => this.#lingerOn(options.isWebSocket ? lingerMs : halfClosedMs));
    }
    const complete = contained(this, () => this.#end('complete'));
    upstream.on(
      'error',
      contained(this, (error: Error) => this.#end('upstream_gone', error)),
    );
    client.on('error', complete);
    client.on('close', complete);
    upstream.on('close', () => this.#lingerFor(lingerMs));
    if (client.destroyed) this.#end('complete');
  }

  broke(error: Error): void {
    this.#end('upstream_gone', error);
  }

  cut(reason: CutReason): void {
    if (this.#cutting || this.#ended) return;
    if (reason === 'idle') this.#options.onSilenced();
    this.#cutting = true;
    this.#lingerFor(lingerMs);
    if (!this.#options.isWebSocket) this.#endBoth();
    else if (this.#atBoundary) this.#sayGoodbye();
  }

  #onClientData(chunk: Buffer): void {
    if (!this.#options.isWebSocket || this.#fromClient.scan(chunk).data) this.#options.seat.touch();
  }

  #onUpstreamData(chunk: Buffer): void {
    this.#watchStall();
    if (!this.#options.isWebSocket) {
      if (!this.#cutting && !this.#options.upstream.closed) this.#linger?.refresh();
      return this.#options.seat.touch();
    }
    const { data, atBoundary } = this.#fromUpstream.scan(chunk);
    this.#atBoundary = atBoundary;
    if (data) this.#options.seat.touch();
    // The pipe has written this chunk already: goodbye comes after it.
    if (this.#cutting && atBoundary) this.#sayGoodbye();
  }

  /** Begins when the client first takes less than there is; the pipe has written this chunk already. */
  #watchStall(): void {
    const { client, stallMs } = this.#options;
    if (this.#isWatched || !client.writableNeedDrain) return;
    this.#isWatched = true;
    watchStall(
      client,
      stallMs,
      () => client.writableNeedDrain,
      () => this.#end('complete'),
    );
  }

  #sayGoodbye(): void {
    if (this.#ended) return;
    const { client, upstream } = this.#options;
    upstream.unpipe(client);
    client.unpipe(upstream);
    if (client.writable) client.write(goingAway(false));
    if (upstream.writable) upstream.write(goingAway(true));
    this.#endBoth();
  }

  #endBoth(): void {
    const { client, upstream } = this.#options;
    client.end();
    upstream.end();
    // What still comes is read and thrown away, so that the end of each side is seen.
    client.resume();
    upstream.resume();
  }

  /** One side has ended, or is being ended: the other has a little time. */
  #lingerOn(limitMs: number): void {
    if (!this.#linger) this.#lingerFor(limitMs);
  }

  #lingerFor(limitMs: number): void {
    clearTimeout(this.#linger);
    this.#linger = setTimeout(
      contained(this, () => this.#end('complete')),
      limitMs,
    ).unref();
  }

  #end(outcome: 'complete' | 'upstream_gone', cause?: Error): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#linger);
    const { client, upstream, seat, onEnded } = this.#options;
    client.destroy();
    upstream.destroy();
    seat.occupant = undefined;
    seat.release();
    onEnded(outcome, cause);
  }
}
