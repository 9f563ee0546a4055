import { type buildConnector, Client } from 'undici';
import type { Seat } from '../check/seat.js';
import { type ListenerOf, provenConnector } from './proven-connector.js';
import { upstreamConnector } from './upstream-connector.js';

/**
 * No connection is used after it was idle for this long: an app may close it at any moment, and a request that must not
 * be repeated would be lost. See docs/decisions/keep-alive.md.
 */
const keepAliveMs = 1_000;
export const connectTimeoutMs = 5_000;
const maxHeaderSizeBytes = 64 * 1024;

/** Connections to instances: a pool belongs to an instance id and dies with it, so that none ever reaches another app. */
export class Upstreams {
  readonly #pools = new Map<string, UpstreamPool>();
  readonly #connect = upstreamConnector({ timeout: connectTimeoutMs, autoSelectFamily: false });
  readonly #listenerOf: ListenerOf;

  constructor(listenerOf: ListenerOf) {
    this.#listenerOf = listenerOf;
  }

  /** The pool of a seat's instance. */
  of(seat: Seat): UpstreamPool {
    const { instanceId, address } = seat;
    const known = this.#pools.get(instanceId);
    if (known) return known;
    const listener = this.#listenerOf(seat);
    const connect = listener ? provenConnector(this.#connect, listener) : this.#connect;
    const host = address.host.includes(':') ? `[${address.host}]` : address.host;
    const pool = new UpstreamPool(`http://${host}:${address.port}`, connect);
    this.#pools.set(instanceId, pool);
    return pool;
  }

  /** Nothing is sent to this instance any more; what is under way is broken off. */
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
 * The connections to one instance, as many as there are requests under way: seats bound them. The one that came free
 * last is used next, so that the others fall idle and close. undici's own Pool searches its clients for a free one at
 * each request; here it is at hand.
 */
export class UpstreamPool {
  readonly #origin: string;
  readonly #connect: buildConnector.connector;
  readonly #all = new Set<Client>();
  readonly #free: Client[] = [];
  /** Held by a request while its connection went. */
  readonly #lost = new Set<Client>();

  constructor(origin: string, connect: buildConnector.connector) {
    this.#origin = origin;
    this.#connect = connect;
  }

  /** A connection for one request; to be given back when the request has ended, however it did. */
  take(): Client {
    return this.#free.pop() ?? this.#open();
  }

  give(client: Client): void {
    if (this.#lost.has(client)) this.#end(client);
    else if (this.#all.has(client)) this.#free.push(client);
  }

  /** Breaks off what is under way. */
  async destroy(): Promise<void> {
    const clients = [...this.#all];
    this.#all.clear();
    this.#lost.clear();
    this.#free.length = 0;
    await Promise.all(clients.map((client) => client.destroy()));
  }

  #open(): Client {
    const client = new Client(this.#origin, {
      pipelining: 1,
      keepAliveTimeout: keepAliveMs,
      keepAliveMaxTimeout: keepAliveMs,
      bodyTimeout: 0,
      maxHeaderSize: maxHeaderSizeBytes,
      connect: this.#connect,
    });
    this.#all.add(client);
    const onLost = () => this.#onLost(client);
    client.on('disconnect', onLost);
    client.on('connectionError', onLost);
    // A request that was not sent yet when its connection went is sent on another.
    client.on('connect', () => this.#lost.delete(client));
    return client;
  }

  #onLost(client: Client): void {
    const at = this.#free.indexOf(client);
    if (at < 0) {
      if (this.#all.has(client)) this.#lost.add(client);
      return;
    }
    this.#free.splice(at, 1);
    this.#end(client);
  }

  #end(client: Client): void {
    this.#lost.delete(client);
    this.#all.delete(client);
    client.destroy().catch(() => {});
  }
}
