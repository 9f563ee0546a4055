import type { Socket } from 'node:net';
import { buildConnector } from '../libraries/undici.js';
import type { Seat } from '../uses/seat.js';
import { type ListenerOf, provenConnector } from './proven-connector.js';
import { Http1Client, type Http1ClientOptions, reading } from './http1-client/http1-client.js';
import { Turns } from './http1-client/turns.js';

/** How long idle connections are kept: until a second before the app closes them by its own word. See docs/decisions/keep-alive.md. */
const keptHere = { keptMs: 4_000, mostKeptMs: 60_000, thresholdMs: 1_000 };
/** A host that is lost or cut off closes no connection, and a request on one would wait in vain. */
const keptElsewhere = { keptMs: 1_000, mostKeptMs: 1_000, thresholdMs: 1_000 };
/** The app may close an idle connection at any moment: what must not be repeated goes on none that was idle for longer. */
const freshMs = 1_000;
/** How often time limits of connections are looked at. */
const checkMs = 250;
export const connectTimeoutMs = 5_000;

/** Counts connections to instances, and ends the longest idle one if there are too many. */
export interface UpstreamCount {
  /** Call it before opening a connection. */
  opening(): void;
  closed(): void;
}

interface UpstreamCensus extends UpstreamCount {
  /** Of all instances. */
  readonly all: Set<Upstream>;
  /** Of all instances, the longest idle first. */
  readonly idle: Set<Upstream>;
  /** The pool has an idle connection that belongs to the client's. */
  owns(owner: Socket, pool: UpstreamPool): void;
  ownsNoMore(owner: Socket, pool: UpstreamPool): void;
}

/** Connections to instances. Each pool belongs to one instance id and ends with it, so that no connection reaches another app. */
export class Upstreams implements UpstreamCensus {
  readonly all = new Set<Upstream>();
  readonly idle = new Set<Upstream>();
  #sweep: NodeJS.Timeout | undefined;
  /** Pools that have an idle connection of a client's, by that. */
  readonly #owners = new WeakMap<Socket, Set<UpstreamPool>>();
  readonly #pools = new Map<string, UpstreamPool>();
  readonly #most: number;
  #open = 0;
  readonly #connect = buildConnector({ timeout: connectTimeoutMs, autoSelectFamily: false, onread: reading() });
  readonly #turns = new Turns();
  readonly #listenerOf: ListenerOf;

  readonly #host: string;

  /** `host` is this one. Keeps at most `most` connections open, each of which holds a descriptor, unless more requests are under way. */
  constructor(host: string, listenerOf: ListenerOf, most: number) {
    this.#host = host;
    this.#listenerOf = listenerOf;
    this.#most = most;
  }

  opening(): void {
    this.#sweep ??= setInterval(() => this.#check(), checkMs).unref();
    this.#open += 1;
    if (this.#open <= this.#most) return;
    const [longest] = this.idle;
    longest?.pool.end(longest);
  }

  closed(): void {
    this.#open -= 1;
  }

  /** Ends what was idle or awaited for too long. One timer for all costs a request nothing. */
  #check(): void {
    const now = performance.now();
    for (const upstream of this.all) {
      if (!this.idle.has(upstream)) upstream.client.check(now);
      else if (now - upstream.idleSince >= upstream.client.keptMs) upstream.pool.end(upstream);
    }
    if (this.all.size > 0) return;
    clearInterval(this.#sweep);
    this.#sweep = undefined;
  }

  owns(owner: Socket, pool: UpstreamPool): void {
    const known = this.#owners.get(owner);
    if (known) return void known.add(pool);
    const pools = new Set([pool]);
    this.#owners.set(owner, pools);
    // One listener for all apps that a client's connection asks: behind a proxy these are thousands.
    owner.once('close', () => {
      for (const each of pools) each.endOwnedBy(owner);
    });
  }

  ownsNoMore(owner: Socket, pool: UpstreamPool): void {
    this.#owners.get(owner)?.delete(pool);
  }

  /** The pool of a seat's instance. */
  of(seat: Seat): UpstreamPool {
    const { instanceId, address, location } = seat;
    const known = this.#pools.get(instanceId);
    if (known) return known;
    const listener = this.#listenerOf(seat);
    const connect = listener ? provenConnector(this.#connect, listener) : this.#connect;
    const kept = location.host === this.#host ? keptHere : keptElsewhere;
    const pool = new UpstreamPool({ connect, ...address, turns: this.#turns, ...kept }, this);
    this.#pools.set(instanceId, pool);
    return pool;
  }

  /** Sends nothing more to this instance, and breaks off what is under way. */
  end(instanceId: string): void {
    const pool = this.#pools.get(instanceId);
    if (!pool) return;
    this.#pools.delete(instanceId);
    pool.destroy();
  }

  async close(): Promise<void> {
    const pools = [...this.#pools.values()];
    this.#pools.clear();
    for (const pool of pools) pool.destroy();
  }
}

/**
 * A connection to an instance. Once it has carried a body, which its app might take for a request, or a credential for the whole
 * connection, it belongs to that client's connection: `owner`.
 */
export class Upstream {
  readonly client: Http1Client;
  readonly pool: UpstreamPool;
  owner: Socket | undefined = undefined;
  /** It closed while a request used it. */
  isLost = false;
  /** Start of the first request's wait for an answer, in monotonic milliseconds; undefined once that has begun. */
  waitsSince: number | undefined = undefined;
  /** When it was given back last, likewise. */
  idleSince = 0;

  constructor(pool: UpstreamPool, options: Http1ClientOptions) {
    this.pool = pool;
    this.client = new Http1Client(options);
  }
}

/** A request on a new connection that waits for longer than this may wait for others to close: see `give` and `#relieve`. */
const waitsLongMs = 500;

/**
 * The connections to one instance, bounded by its seats. The one that came free last is used next, so that the others fall idle
 * and close.
 */
export class UpstreamPool {
  readonly #options: Http1ClientOptions;
  readonly #all = new Set<Upstream>();
  readonly #free: Upstream[] = [];
  /** Idle connections that belong to a client, by the client's connection; the longest idle first. */
  readonly #owned = new Map<Socket, Upstream>();
  /** New connections on which nothing was answered yet, the oldest first. */
  readonly #new = new Set<Upstream>();
  readonly #census: UpstreamCensus;
  #relief: NodeJS.Timeout | undefined;

  constructor(options: Http1ClientOptions, census: UpstreamCensus) {
    this.#options = options;
    this.#census = census;
  }

  /**
   * A connection for one request of a client; give it back when the request has ended, however it did. If there are `mostAtOnce`
   * connections already, an idle one is ended, as the app may serve no more at once. `isFresh`: only one that hardly closes now.
   */
  take(client: Socket, mostAtOnce: number, isFresh: boolean): Upstream {
    const idleFrom = isFresh ? performance.now() - freshMs : -Infinity;
    const owned = this.#owned.size > 0 ? this.#owned.get(client) : undefined;
    if (owned && owned.idleSince >= idleFrom) {
      this.#disown(client);
      this.#census.idle.delete(owned);
      return owned;
    }
    // Another one will be the client's.
    if (owned) this.end(owned);
    const free = this.#free.at(-1);
    if (free && free.idleSince >= idleFrom) {
      this.#free.pop();
      this.#census.idle.delete(free);
      return free;
    }
    if (this.#all.size >= mostAtOnce) this.#endIdle();
    return this.#open();
  }

  /** The app has begun to answer on it. */
  answered(upstream: Upstream): void {
    upstream.waitsSince = undefined;
    this.#new.delete(upstream);
  }

  /**
   * Takes a connection back. It is closed if another request has waited long on a new one: an app that serves one connection at a
   * time may not have accepted that yet.
   */
  give(upstream: Upstream): void {
    if (upstream.waitsSince !== undefined) this.answered(upstream);
    const { owner, isLost } = upstream;
    if (!this.#all.has(upstream)) return;
    if (isLost || (this.#new.size > 0 && this.#isAwaited())) return this.end(upstream);
    if (owner === undefined) this.#free.push(upstream);
    else if (owner.destroyed || this.#owned.has(owner)) return this.end(upstream);
    else {
      this.#owned.set(owner, upstream);
      this.#census.owns(owner, this);
    }
    upstream.idleSince = performance.now();
    this.#census.idle.add(upstream);
    if (this.#new.size > 0) this.#relieve();
  }

  /** Breaks off what is under way. */
  destroy(): void {
    const upstreams = [...this.#all];
    for (const upstream of upstreams) {
      this.#census.idle.delete(upstream);
      this.#census.all.delete(upstream);
      this.#census.closed();
    }
    clearTimeout(this.#relief);
    this.#all.clear();
    for (const owner of this.#owned.keys()) this.#disown(owner);
    this.#new.clear();
    this.#free.length = 0;
    for (const { client } of upstreams) client.destroy();
  }

  #open(): Upstream {
    this.#census.opening();
    const upstream = new Upstream(this, this.#options);
    const { client } = upstream;
    this.#all.add(upstream);
    this.#census.all.add(upstream);
    upstream.waitsSince = performance.now();
    this.#new.add(upstream);
    this.#relieve();
    const onLost = () => this.#onLost(upstream);
    client.on('disconnect', onLost);
    client.on('connectionError', onLost);
    // A request that was not sent yet when its connection went is sent on another.
    client.on('connect', () => (upstream.isLost = false));
    return upstream;
  }

  /** Whether the oldest new connection has waited long; it is then put last and its wait begins anew. */
  #isAwaited(): boolean {
    const [oldest] = this.#new;
    const now = performance.now();
    if (oldest?.waitsSince === undefined || now - oldest.waitsSince < waitsLongMs) return false;
    oldest.waitsSince = now;
    this.#new.delete(oldest);
    this.#new.add(oldest);
    return true;
  }

  /** An app that serves one connection at a time comes to a new one when an idle one is closed. */
  #relieve(): void {
    if (this.#relief || this.#free.length + this.#owned.size === 0) return;
    this.#relief = setTimeout(() => {
      this.#relief = undefined;
      if (this.#new.size === 0) return;
      if (this.#isAwaited()) this.#endIdle();
      this.#relieve();
    }, waitsLongMs);
    this.#relief.unref();
  }

  /** One that only its owner could use before those that serve all. */
  #endIdle(): void {
    const [owned] = this.#owned.values();
    const upstream = owned ?? this.#free[0];
    if (upstream) this.end(upstream);
  }

  /** Its client has gone, and nobody else may use it. */
  endOwnedBy(owner: Socket): void {
    const upstream = this.#owned.get(owner);
    if (upstream) this.end(upstream);
  }

  #disown(owner: Socket): void {
    this.#owned.delete(owner);
    this.#census.ownsNoMore(owner, this);
  }

  #onLost(upstream: Upstream): void {
    const at = this.#free.indexOf(upstream);
    const isIdle = at >= 0 || (upstream.owner !== undefined && this.#owned.get(upstream.owner) === upstream);
    if (isIdle) this.end(upstream);
    else if (this.#all.has(upstream)) upstream.isLost = true;
  }

  /** Breaks off what is under way on it. */
  end(upstream: Upstream): void {
    const { client, owner } = upstream;
    this.#census.idle.delete(upstream);
    const at = this.#free.indexOf(upstream);
    if (at >= 0) this.#free.splice(at, 1);
    if (owner !== undefined && this.#owned.get(owner) === upstream) this.#disown(owner);
    this.#new.delete(upstream);
    this.#census.all.delete(upstream);
    if (this.#all.delete(upstream)) this.#census.closed();
    client.destroy();
  }
}
