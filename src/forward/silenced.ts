import type { App } from '../model/app.js';
import type { Clock } from '../model/clock.js';
import type { Clients } from './clients.js';
import type { UpgradeExchange } from './exchange.js';

/** Clients that are remembered, over all apps; beyond it the one silenced longest ago is forgotten. */
const mostRemembered = 10_000;

type Asking = Pick<UpgradeExchange, 'req' | 'admitted'>;

/**
 * Clients whose upgraded connection was ended because nothing flowed on it. An open page connects again at once; for the app's
 * `websocket.quiet` that alone does not wake the app. Each process remembers those that it ended itself.
 */
export class Silenced {
  readonly #clients: Pick<Clients, 'addressOf'>;
  readonly #clock: Clock;
  /** Time of the end in monotonic milliseconds, by app and client. */
  readonly #at = new Map<string, number>();

  constructor(clients: Pick<Clients, 'addressOf'>, clock: Clock) {
    this.#clients = clients;
    this.#clock = clock;
  }

  note(app: App, exchange: Asking): void {
    const key = this.#keyOf(app, exchange);
    if (key === undefined) return;
    this.#at.delete(key);
    this.#at.set(key, this.#clock.monotonic());
    if (this.#at.size <= mostRemembered) return;
    for (const oldest of this.#at.keys()) {
      this.#at.delete(oldest);
      return;
    }
  }

  /** For how long, in milliseconds, an upgrade does not wake the app; 0 if it does. */
  leftMs(app: App, exchange: Asking): number {
    const key = this.#keyOf(app, exchange);
    const at = key === undefined ? undefined : this.#at.get(key);
    if (key === undefined || at === undefined) return 0;
    const leftMs = at + app.websocket.quietMs - this.#clock.monotonic();
    if (leftMs > 0) return leftMs;
    this.#at.delete(key);
    return 0;
  }

  #keyOf({ name, websocket }: App, { req, admitted }: Asking): string | undefined {
    if (websocket.quietMs === 0) return undefined;
    const client = this.#clients.addressOf(req.socket, admitted.proxyHeaders);
    return client === undefined ? undefined : `${name} ${client}`;
  }
}
