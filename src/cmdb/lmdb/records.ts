import type { Database, RootDatabase } from 'lmdb';
import { emptyDeployment } from '../../model/deployment.js';
import type { AppRecord, UnreadableReport } from '../cmdb.js';
import { isKey } from '../key-limits.js';
import {
  decodeApp,
  decodeDeployment,
  encodeApp,
  encodeDeployment,
  type StoredApp,
  type StoredDeployment,
} from '../record-format.js';

/** Apps, their deployments and the claims of domains. Writes belong into a transaction of the caller. */
export class Records {
  readonly #apps: Database<string, string>;
  readonly #deployments: Database<string, string>;
  readonly #domains: Database<string, string>;
  readonly #onUnreadable: UnreadableReport;

  constructor(root: RootDatabase<string, string>, onUnreadable: UnreadableReport) {
    const table = (name: string) => root.openDB<string, string>({ name, encoding: 'string' });
    this.#apps = table('apps');
    this.#deployments = table('deployments');
    this.#domains = table('domains');
    this.#onUnreadable = onUnreadable;
  }

  names(): string[] {
    return [...this.#apps.getKeys()];
  }

  record(name: string): AppRecord | undefined {
    const stored = this.app(name);
    return stored && { ...stored, ...this.deployment(name) };
  }

  /** The app's record as it is stored, readable or not. */
  appText(name: string): string | undefined {
    return isKey(name) ? this.#apps.get(name) : undefined;
  }

  app(name: string): StoredApp | undefined {
    const text = this.appText(name);
    return text === undefined ? undefined : this.decode(`app ${name}`, () => decodeApp(text));
  }

  /** One that cannot be read counts as empty. */
  deployment(name: string): StoredDeployment {
    const text = isKey(name) ? this.#deployments.get(name) : undefined;
    const stored = text === undefined ? undefined : this.decode(`deployment ${name}`, () => decodeDeployment(text));
    return stored ?? { deployment: emptyDeployment(name), version: '' };
  }

  /** The name that a domain is claimed by, whether that app still counts or not. */
  claimant(domain: string): string | undefined {
    return isKey(domain) ? this.#domains.get(domain) : undefined;
  }

  /** A claim counts while its owner can be read, stands, and still lists the domain. */
  owner(domain: string): StoredApp | undefined {
    const name = this.claimant(domain);
    const stored = name === undefined ? undefined : this.app(name);
    return stored && !stored.removed && stored.app.domains.includes(domain) ? stored : undefined;
  }

  putApp(name: string, stored: StoredApp): void {
    void this.#apps.put(name, encodeApp(stored));
  }

  putDeployment(name: string, stored: StoredDeployment): void {
    void this.#deployments.put(name, encodeDeployment(stored));
  }

  claim(domain: string, name: string): void {
    void this.#domains.put(domain, name);
  }

  unclaim(domain: string, name: string): void {
    if (this.claimant(domain) === name) void this.#domains.remove(domain);
  }

  drop(name: string): void {
    void this.#apps.remove(name);
    void this.#deployments.remove(name);
  }

  /** What cannot be read is reported and skipped. */
  decode<T>(record: string, decode: () => T): T | undefined {
    try {
      return decode();
    } catch (error) {
      this.#onUnreadable(record, error instanceof Error ? error.message : String(error));
      return undefined;
    }
  }
}
