import type { App } from '../model/app.js';
import type { StoreHealth } from '../membership/store-health.js';

type Named = Pick<App, 'name' | 'domains'>;

export type AppQuery = { readonly domain: string } | { readonly app: string };

/** The apps of this daemon's files, and the store that they were last applied to. */
export class FileApps {
  #apps: readonly Named[];
  #appliedTo: string | undefined;
  /** Built when it is needed, which is rare, and dropped once all is applied. */
  #names: { readonly apps: ReadonlySet<string>; readonly domains: ReadonlySet<string> } | undefined;

  constructor(apps: readonly Named[]) {
    this.#apps = apps;
  }

  /** The files have these apps from now on. */
  read(apps: readonly Named[]): void {
    this.#apps = apps;
    this.#names = undefined;
  }

  /** They were applied to the store of this identity (Cmdb.beat); undefined: to none. */
  applied(identity: string | undefined): void {
    this.#appliedTo = identity;
    if (identity !== undefined) this.#names = undefined;
  }

  areAppliedTo(identity: string | undefined): boolean {
    return identity !== undefined && identity === this.#appliedTo;
  }

  /** Whether a file has this app, or this domain, be it by a wildcard. */
  have(query: AppQuery): boolean {
    this.#names ??= {
      apps: new Set(this.#apps.map(({ name }) => name)),
      domains: new Set(this.#apps.flatMap(({ domains }) => domains)),
    };
    const { apps, domains } = this.#names;
    if ('app' in query) return apps.has(query.app);
    return domains.has(query.domain) || domains.has(`*.${query.domain.slice(query.domain.indexOf('.') + 1)}`);
  }
}

/**
 * Whether what the store lacks does not exist. It may lack what this daemon's files have until they are applied, and what others' have
 * for one TTL.
 */
export function isStoreComplete(
  query: AppQuery,
  store: Pick<StoreHealth, 'identity' | 'isComplete' | 'isFamiliar'>,
  files: FileApps,
): boolean {
  if (!store.isComplete) return false;
  return files.areAppliedTo(store.identity) || (store.isFamiliar && !files.have(query));
}
