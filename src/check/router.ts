import type { Cmdb } from '../cmdb/cmdb.js';
import { RequestError } from '../model/errors.js';
import { domainOf, plainDomainOf } from '../model/host-name.js';
import type { LocalApp } from '../uses/local-app.js';
import type { LocalApps } from '../uses/local-apps.js';
import { TwoGenerationCache } from './two-generation-cache.js';

export interface RouterOptions {
  readonly cmdb: Cmdb;
  readonly apps: LocalApps;
  /** False while the store may lack this domain though an app has it; an unknown domain is then no 404. */
  readonly isComplete: (domain: string) => boolean;
  /** Upper bound for the cache of unknown domains. */
  readonly unknownBytes?: number;
}

const mebibyte = 1024 * 1024;

/** Finds the app of a host name. Known and unknown names are cached in their normal form until an app changes. */
export class Router {
  readonly #options: RouterOptions;
  readonly #known: TwoGenerationCache<string>;
  readonly #unknown: TwoGenerationCache<true>;
  readonly #looking = new Map<string, Promise<LocalApp | undefined>>();
  /** Goes up with each change of an app, so that an answer asked for before it is not cached after it. */
  #epoch = 0;

  constructor(options: RouterOptions) {
    this.#options = options;
    this.#known = new TwoGenerationCache(48 * mebibyte);
    this.#unknown = new TwoGenerationCache(options.unknownBytes ?? 4 * mebibyte);
  }

  /** The app of a host header if it is at hand and the name needs no conversion; never asks the store. */
  cached(host: string): LocalApp | undefined {
    const name = this.#known.get(host) ?? this.#known.get(plainDomainOf(host) ?? '');
    return name === undefined ? undefined : this.#options.apps.get(name);
  }

  /** The app of a host header, with at most one store look-up. Throws `unknown_domain`, `bad_request`, `cmdb_unavailable`. */
  async find(host: string): Promise<LocalApp> {
    const domain = domainOf(host);
    if (domain === undefined) throw new RequestError('bad_request', 'The Host header is not a host name.');
    const name = this.#known.get(domain);
    const local = name === undefined ? await this.#lookUp(domain) : await this.#options.apps.load(name);
    if (local && !local.removed) return local;
    if (!this.#options.isComplete(domain)) {
      throw new RequestError(
        'cmdb_unavailable',
        'The configuration store does not have every app yet; try again shortly.',
      );
    }
    throw new RequestError('unknown_domain', `No app serves the domain ${domain}.`);
  }

  /** Forgets all names: an app's record changed. */
  forget(): void {
    this.#epoch += 1;
    this.#known.clear();
    this.#unknown.clear();
    // A look-up under way may find what was true before: later requests ask anew.
    this.#looking.clear();
  }

  async #lookUp(domain: string): Promise<LocalApp | undefined> {
    if (this.#unknown.get(domain)) return undefined;
    const epoch = this.#epoch;
    const looking = this.#looking.get(domain) ?? this.#ask(domain);
    const local = await looking;
    if (epoch !== this.#epoch) return local;
    if (local) this.#known.set(domain, local.name);
    else if (this.#options.isComplete(domain)) this.#unknown.set(domain, true);
    return local;
  }

  #ask(domain: string): Promise<LocalApp | undefined> {
    const { cmdb, apps } = this.#options;
    const asking = cmdb
      .find({ domain })
      .then((record) => record && apps.of(record))
      .finally(() => {
        if (this.#looking.get(domain) === asking) this.#looking.delete(domain);
      });
    this.#looking.set(domain, asking);
    return asking;
  }
}
