import { emptyDeployment } from '../../model/deployment.js';
import type { AppRecord, UnreadableReport } from '../cmdb.js';
import { decodeApp, decodeDeployment, type StoredApp, type StoredDeployment } from '../record-format.js';
import type { Keys } from './keys.js';
import type { Link } from './link.js';

/** What is stored of one app, and the exact text of its record. */
export interface Stored {
  readonly app: StoredApp | undefined;
  readonly appText: string | undefined;
  readonly deployment: StoredDeployment;
}

/** Reads apps, deployments and claims. */
export class Records {
  readonly #link: Link;
  readonly #keys: Keys;
  readonly #onUnreadable: UnreadableReport;

  constructor(link: Link, keys: Keys, onUnreadable: UnreadableReport) {
    this.#link = link;
    this.#keys = keys;
    this.#onUnreadable = onUnreadable;
  }

  async one(name: string): Promise<Stored> {
    return (await this.all([name]))[0] as Stored;
  }

  async all(names: readonly string[]): Promise<Stored[]> {
    const answers = await this.#link.all(
      names.flatMap((name) => [
        ['get', this.#keys.app(name)],
        ['hmget', this.#keys.deployment(name), 'version', 'record'],
      ]),
    );
    return names.map((name, index) => {
      const appText = (answers[2 * index] as string | null) ?? undefined;
      const [version, record] = answers[2 * index + 1] as [string | null, string | null];
      return { app: this.app(name, appText), appText, deployment: this.#deployment(name, version ?? '', record) };
    });
  }

  /** Texts of the apps' own records. */
  texts(names: readonly string[]): Promise<(string | undefined)[]> {
    return this.#link.values(names.map((name) => this.#keys.app(name)));
  }

  /** Values of the domains' keys; see claim.ts. */
  claims(domains: readonly string[]): Promise<(string | undefined)[]> {
    return this.#link.values(domains.map((domain) => this.#keys.domain(domain)));
  }

  app(name: string, text: string | undefined): StoredApp | undefined {
    return text === undefined ? undefined : this.decode(`app ${name}`, () => decodeApp(text));
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

  /** One that cannot be read counts as empty; its version is known all the same, so that it can be written over. */
  #deployment(name: string, version: string, text: string | null): StoredDeployment {
    const stored = text === null ? undefined : this.decode(`deployment ${name}`, () => decodeDeployment(text));
    return { version, deployment: stored?.deployment ?? emptyDeployment(name) };
  }
}

export function recordOf({ app, deployment }: Stored): AppRecord | undefined {
  return app && { ...app, ...deployment };
}

/** The domains that an app lists, as long as it stands. */
export function listedBy(stored: StoredApp | undefined): readonly string[] {
  return stored && !stored.removed ? stored.app.domains : [];
}
