import type { App } from '../model/app.js';
import type { DomainConflict } from './cmdb.js';

/** Which app owns which domain before the change. A claim counts while its owner exists and lists the domain. */
export interface Ownership {
  /** The owner of a domain, whether it is part of the change or not. */
  readonly ownerOf: (domain: string) => string | undefined;
  /** The domains that an app owns. */
  readonly domainsOf: (app: string) => readonly string[];
}

/** The apps of a change that can be stored, and why the others cannot. */
export interface Resolution {
  readonly accepted: readonly App[];
  /** At least one for each refused app; `ownedBy` owns the domain after the change. */
  readonly conflicts: readonly DomainConflict[];
}

/**
 * Decides which apps of one change get all their domains. An app may take what another one gives up, even in a ring; of two that
 * want the same free domain, the first gets it. A refused app keeps its old domains, so others that want those are refused, too.
 */
export function resolveClaims(put: readonly App[], ownership: Ownership): Resolution {
  const change = new Change(put, ownership);
  do change.refuseTaken();
  while (change.refuseDoubles());
  change.acceptFreed();
  return change.resolution();
}

class Change {
  readonly #ownership: Ownership;
  readonly #apps: ReadonlyMap<string, App>;
  readonly #wanters = new Map<string, string[]>();
  readonly #refused = new Set<string>();
  /** Apps to look at again, because an owner of a domain that they want was refused. */
  #open: Set<string>;
  /** Accepted apps, by the domains that they get. */
  #taken = new Map<string, string>();

  constructor(put: readonly App[], ownership: Ownership) {
    this.#ownership = ownership;
    this.#apps = new Map(put.map((app) => [app.name, app]));
    for (const { name, domains } of this.#apps.values()) {
      for (const domain of domains) {
        const wanters = this.#wanters.get(domain);
        if (wanters) wanters.push(name);
        else this.#wanters.set(domain, [name]);
      }
    }
    this.#open = new Set(this.#apps.keys());
  }

  /** Refuses each app that wants a domain which its owner keeps, until that causes no further refusal. */
  refuseTaken(): void {
    for (const name of this.#open) {
      this.#open.delete(name);
      const app = this.#apps.get(name) as App;
      if (!this.#refused.has(name) && app.domains.some((domain) => this.#keeper(domain, name))) this.#refuse(name);
    }
  }

  /** Gives each free domain to the first app that wants it. True if others had to be refused. */
  refuseDoubles(): boolean {
    this.#taken = new Map();
    const before = this.#refused.size;
    for (const { name, domains } of this.#apps.values()) {
      if (this.#refused.has(name)) continue;
      if (domains.some((domain) => (this.#taken.get(domain) ?? name) !== name)) this.#refuse(name);
      else for (const domain of domains) this.#taken.set(domain, name);
    }
    return this.#refused.size > before;
  }

  /** Accepts refused apps after all if the app that they gave way to was refused itself. */
  acceptFreed(): void {
    for (let before = -1; before !== this.#refused.size;) {
      before = this.#refused.size;
      for (const name of this.#refused) {
        const { domains } = this.#apps.get(name) as App;
        if (domains.some((domain) => this.#owner(domain, name))) continue;
        this.#refused.delete(name);
        for (const domain of domains) this.#taken.set(domain, name);
      }
    }
  }

  resolution(): Resolution {
    const apps = [...this.#apps.values()];
    const conflicts = apps
      .filter(({ name }) => this.#refused.has(name))
      .flatMap(({ name, domains }) =>
        domains.flatMap((domain) => {
          const ownedBy = this.#owner(domain, name);
          return ownedBy === undefined ? [] : [{ domain, wantedBy: name, ownedBy }];
        }),
      );
    return { accepted: apps.filter(({ name }) => !this.#refused.has(name)), conflicts };
  }

  #refuse(name: string): void {
    this.#refused.add(name);
    for (const domain of this.#ownership.domainsOf(name))
      for (const wanter of this.#wanters.get(domain) ?? []) this.#open.add(wanter);
  }

  /** Another app that owns the domain and does not give it up. */
  #keeper(domain: string, wantedBy: string): string | undefined {
    const owner = this.#ownership.ownerOf(domain);
    if (owner === undefined || owner === wantedBy) return undefined;
    const next = this.#refused.has(owner) ? undefined : this.#apps.get(owner);
    return next && !next.domains.includes(domain) ? undefined : owner;
  }

  /** Another app that owns the domain after the change. */
  #owner(domain: string, wantedBy: string): string | undefined {
    const taker = this.#taken.get(domain);
    return taker !== undefined && taker !== wantedBy ? taker : this.#keeper(domain, wantedBy);
  }
}
