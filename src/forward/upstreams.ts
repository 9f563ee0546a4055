import type { Socket } from 'node:net';
import { type buildConnector, Client } from 'undici';
import type { Seat } from '../uses/seat.js';
import { type ListenerOf, provenConnector } from './proven-connector.js';
import { awaitsAnswer, upstreamConnector } from './upstream-connector.js';

/** How long idle connections are kept: until a second before the app closes them by its own word. See docs/decisions/keep-alive.md. */
const keptHere = { keepAliveTimeout: 4_000, keepAliveMaxTimeout: 60_000, keepAliveTimeoutThreshold: 1_000 };
/** A host that is lost or cut off closes no connection, and a request on one would wait in vain. */
const keptElsewhere = { keepAliveTimeout: 1_000, keepAliveMaxTimeout: 1_000 };
/** The app may close an idle connection at any moment: what must not be repeated goes on none that was idle for longer. */
const freshMs = 1_000;
export const connectTimeoutMs = 5_000;
const maxHeaderSizeBytes = 64 * 1024;

/** Counts connections to instances, and ends the longest idle one if there are too many. */
export interface UpstreamCount {
  /** Call it before opening a connection. */
  opening(): void;
  closed(): void;
}

interface UpstreamCensus extends UpstreamCount {
  /** Of all instances, the longest idle first. */
  readonly idle: Set<Upstream>;
  /** The pool has an idle connection that belongs to the client's. */
  owns(owner: Socket, pool: UpstreamPool): void;
  ownsNoMore(owner: Socket, pool: UpstreamPool): void;
}

/** Connections to instances. Each pool belongs to one instance id and ends with it, so that no connection reaches another app. */
export class Upstreams implements UpstreamCensus {
  readonly idle = new Set<Upstream>();
  /** Pools that have an idle connection of a client's, by that. */
  readonly #owners = new WeakMap<Socket, Set<UpstreamPool>>();
  readonly #pools = new Map<string, UpstreamPool>();
  readonly #most: number;
  #open = 0;
  readonly #connect = upstreamConnector({ timeout: connectTimeoutMs, autoSelectFamily: false });
  readonly #listenerOf: ListenerOf;

  readonly #host: string;

  /** `host` is this one. Keeps at most `most` connections open, each of which holds a descriptor, unless more requests are under way. */
  constructor(host: string, listenerOf: ListenerOf, most: number) {
    this.#host = host;
    this.#listenerOf = listenerOf;
    this.#most = most;
  }

  opening(): void {
    this.#open += 1;
    if (this.#open <= this.#most) return;
    const [longest] = this.idle;
    longest?.pool.end(longest);
  }

  closed(): void {
    this.#open -= 1;
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
    const host = address.host.includes(':') ? `[${address.host}]` : address.host;
    const options = { ...clientOptions, ...(location.host === this.#host ? keptHere : keptElsewhere) };
    const pool = new UpstreamPool(`http://${host}:${address.port}`, options, connect, this);
    this.#pools.set(instanceId, pool);
    return pool;
  }

  /** Sends nothing more to this instance, and breaks off what is under way. */
  end(instanceId: string): void {
    const pool = this.#pools.get(instanceId);
    if (!pool) return;
    this.#pools.delete(instanceId);
    pool.destroy().catch(() => {});
  }

  async close(): Promise<void> {
    const pools = [...this.#pools.values()];
    this.#pools.clear();
    await Promise.all(pools.map((pool) => pool.destroy()));
  }
}

/**
 * A connection to an instance. Once it has carried a body, which its app might take for a request, or a credential for the whole
 * connection, it belongs to that client's connection: `owner`.
 */
export class Upstream {
  readonly client: Client;
  readonly pool: UpstreamPool;
  owner: Socket | undefined = undefined;
  /** Set while it is connected. */
  socket: Socket | undefined = undefined;
  /** It closed while a request used it. */
  isLost = false;
  /** Start of the first request's wait for an answer, in monotonic milliseconds; undefined once that has begun. */
  waitsSince: number | undefined = undefined;
  /** When it was given back last, likewise. */
  idleSince = 0;

  constructor(pool: UpstreamPool, origin: string, options: Client.Options, connect: buildConnector.connector) {
    this.pool = pool;
    this.client = new Client(origin, {
      ...options,
      connect: (target, callback) =>
        connect(target, (...result) => {
          this.socket = result[1] ?? undefined;
          callback(...result);
        }),
    });
  }

  /** A request is about to be written to it. */
  awaitsAnswer(): void {
    if (this.socket) awaitsAnswer(this.socket);
  }
}

const clientOptions: Client.Options = {
  pipelining: 1,
  bodyTimeout: 0,
  maxHeaderSize: maxHeaderSizeBytes,
};

/** A request on a new connection that waits for longer than this may wait for others to close: see `give` and `#relieve`. */
const waitsLongMs = 500;

/**
 * The connections to one instance, bounded by its seats. The one that came free last is used next, so that the others fall idle
 * and close. undici's own Pool searches its clients for a free one at each request.
 */
export class UpstreamPool {
  readonly #origin: string;
  readonly #options: Client.Options;
  readonly #connect: buildConnector.connector;
  readonly #all = new Map<Client, Upstream>();
  readonly #free: Upstream[] = [];
  /** Idle connections that belong to a client, by the client's connection; the longest idle first. */
  readonly #owned = new Map<Socket, Upstream>();
  /** New connections on which nothing was answered yet, the oldest first. */
  readonly #new = new Set<Upstream>();
  readonly #census: UpstreamCensus;
  #relief: NodeJS.Timeout | undefined;

  constructor(origin: string, options: Client.Options, connect: buildConnector.connector, census: UpstreamCensus) {
    this.#origin = origin;
    this.#options = options;
    this.#connect = connect;
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
    const { client, owner, isLost } = upstream;
    if (!this.#all.has(client)) return;
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
  async destroy(): Promise<void> {
    const clients = [...this.#all.keys()];
    for (const upstream of this.#all.values()) {
      this.#census.idle.delete(upstream);
      this.#census.closed();
    }
    clearTimeout(this.#relief);
    this.#all.clear();
    for (const owner of this.#owned.keys()) this.#disown(owner);
    this.#new.clear();
    this.#free.length = 0;
    await Promise.all(clients.map((client) => client.destroy()));
  }

  #open(): Upstream {
    this.#census.opening();
    const upstream = new Upstream(this, this.#origin, this.#options, this.#connect);
    const { client } = upstream;
    this.#all.set(client, upstream);
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
    else if (this.#all.has(upstream.client)) upstream.isLost = true;
  }

  /** Breaks off what is under way on it. */
  end(upstream: Upstream): void {
    const { client, owner } = upstream;
    this.#census.idle.delete(upstream);
    const at = this.#free.indexOf(upstream);
    if (at >= 0) this.#free.splice(at, 1);
    if (owner !== undefined && this.#owned.get(owner) === upstream) this.#disown(owner);
    this.#new.delete(upstream);
    if (this.#all.delete(client)) this.#census.closed();
    client.destroy().catch(() => {});
  }
}
