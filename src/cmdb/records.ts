import type { AppRecord } from './cmdb.js';
import type { Documents } from './documents.js';
import { isKey } from './key-limits.js';
import type { RecordFormat, StoredApp, StoredDeployment } from './record-format.js';
import type { RecordReader } from './record-reader.js';

/** The documents of one transaction as apps, deployments and claims of domains. */
export class Records {
  readonly #documents: Documents;
  readonly #reader: RecordReader;

  constructor(documents: Documents, reader: RecordReader) {
    this.#documents = documents;
    this.#reader = reader;
  }

  get format(): RecordFormat {
    return this.#reader.format;
  }

  record(name: string): AppRecord | undefined {
    const stored = this.app(name);
    return stored && { ...stored, ...this.deployment(name) };
  }

  /** The stored text of the app's record, readable or not. */
  appText(name: string): string | undefined {
    return isKey(name) ? this.#documents.get('app', name) : undefined;
  }

  app(name: string): StoredApp | undefined {
    return this.#reader.app(name, this.appText(name));
  }

  /** An unreadable deployment counts as empty. */
  deployment(name: string): StoredDeployment {
    return this.#reader.deployment(name, isKey(name) ? this.#documents.get('deployment', name) : undefined);
  }

  /** Name of the app that claims a domain, even if the claim does not count. */
  claimant(domain: string): string | undefined {
    return isKey(domain) ? this.#documents.get('domain', domain) : undefined;
  }

  /** The app that owns a domain. A claim counts while its app can be read, is not removed, and still lists the domain. */
  owner(domain: string): StoredApp | undefined {
    const name = this.claimant(domain);
    const stored = name === undefined ? undefined : this.app(name);
    return stored && !stored.removed && stored.app.domains.includes(domain) ? stored : undefined;
  }

  /** The app that a host name leads to. A domain of an unreadable app leads nowhere, not even to a wildcard. */
  find(domain: string): AppRecord | undefined {
    const exact = this.owner(domain);
    const isUnreadable = exact === undefined && this.#hasUnreadableOwner(domain);
    const owner = exact ?? (isUnreadable ? undefined : this.owner(wildcardOf(domain)));
    return owner && { ...owner, ...this.deployment(owner.app.name) };
  }

  putApp(name: string, stored: StoredApp): void {
    this.#documents.set('app', name, this.format.encodeApp(stored));
  }

  putDeployment(name: string, stored: StoredDeployment): void {
    this.#documents.set('deployment', name, this.format.encodeDeployment(name, stored));
  }

  claim(domain: string, name: string): void {
    this.#documents.set('domain', domain, name);
  }

  unclaim(domain: string, name: string): void {
    if (this.claimant(domain) === name) this.#documents.set('domain', domain, undefined);
  }

  /** Removes the app with its deployment. */
  drop(name: string): void {
    this.#documents.set('app', name, undefined);
    this.#documents.set('deployment', name, undefined);
    this.#documents.schedule(name, undefined);
  }

  #hasUnreadableOwner(domain: string): boolean {
    const name = this.claimant(domain);
    return name !== undefined && this.appText(name) !== undefined && this.app(name) === undefined;
  }
}

/** The wildcard one label up. */
export function wildcardOf(domain: string): string {
  return domain.replace(/^[^.]*/, '*');
}
