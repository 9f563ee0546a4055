import type { App } from '../model/app.js';
import type { Clock } from '../model/clock.js';
import { RequestError } from '../model/errors.js';
import { Lru } from '../model/lru.js';
import { TokenBuckets } from '../model/token-buckets.js';
import { parseRate, partOf, type Rate } from '../model/wake/rate.js';

interface RequestRatesOptions {
  /** Processes that share the rates: each has its part of them. */
  readonly parts: number;
  readonly clock: Pick<Clock, 'monotonic'>;
}

/** Apps, and pairs of app and client, whose requests are counted. */
const mostRemembered = 50_000;
const mostParsed = 1_000;

/** Bounds how often apps are asked: by one client, and by all. */
export class RequestRates {
  readonly #options: RequestRatesOptions;
  readonly #apps = new TokenBuckets(mostRemembered);
  readonly #clients = new TokenBuckets(mostRemembered);
  readonly #parsed = new Lru<string, Rate>(mostParsed);

  constructor(options: RequestRatesOptions) {
    this.#options = options;
  }

  /** Counts a request, or throws `too_many_requests`, which takes nothing. Clients that are not known have no rate of their own. */
  spend({ name, requests }: App, asking: { readonly client: string | undefined }): void {
    const perApp = this.#rateOf(requests.perApp);
    const perClient = this.#rateOf(requests.perClient);
    if (!perApp && !perClient) return;
    const now = this.#options.clock.monotonic();
    const client = perClient && asking.client;
    const key = client === undefined ? undefined : `${name} ${client}`;
    if (perClient && key !== undefined) refuse(this.#clients.waitMs(key, perClient, now), 'client');
    if (perApp) {
      refuse(this.#apps.waitMs(name, perApp, now), 'app');
      this.#apps.take(name, perApp, now);
    }
    if (perClient && key !== undefined) this.#clients.take(key, perClient, now);
  }

  #rateOf(written: string | undefined): Rate | undefined {
    if (written === undefined) return undefined;
    const known = this.#parsed.get(written);
    if (known) return known;
    const rate = parseRate(written);
    const part = rate && partOf(rate, this.#options.parts);
    if (part) this.#parsed.set(written, part);
    return part;
  }
}

function refuse(waitMs: number, of: 'client' | 'app'): void {
  if (waitMs === 0) return;
  const retryAfterS = Math.max(1, Math.ceil(waitMs / 1_000));
  throw new RequestError('too_many_requests', undefined, { retryAfterS, cause: `requests per ${of}` });
}
