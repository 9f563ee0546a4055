import { Pool } from 'undici';
import type { Seat } from '../check/seat.js';
import { upstreamConnector } from './upstream-connector.js';

/**
 * No connection is used after it was idle for this long: an app may close it at any moment, and a request that must not
 * be repeated would be lost. See docs/decisions/keep-alive.md.
 */
const keepAliveMs = 1_000;
const connectTimeoutMs = 5_000;
const maxHeaderSizeBytes = 64 * 1024;

/** Connections to instances: a pool belongs to an instance id and dies with it, so that none ever reaches another app. */
export class Upstreams {
  readonly #pools = new Map<string, Pool>();
  readonly #connect = upstreamConnector({ timeout: connectTimeoutMs, autoSelectFamily: false });

  /** The pool of a seat's instance. Seats bound its connections. */
  of({ instanceId, address }: Seat): Pool {
    const known = this.#pools.get(instanceId);
    if (known) return known;
    const host = address.host.includes(':') ? `[${address.host}]` : address.host;
    const pool = new Pool(`http://${host}:${address.port}`, {
      pipelining: 1,
      keepAliveTimeout: keepAliveMs,
      keepAliveMaxTimeout: keepAliveMs,
      bodyTimeout: 0,
      maxHeaderSize: maxHeaderSizeBytes,
      connect: this.#connect,
    });
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
