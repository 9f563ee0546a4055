import type { App } from '../model/app.js';
import type { StoreHealth } from '../membership/store-health.js';

type Named = Pick<App, 'name' | 'domains'>;

export type AppQuery = { readonly domain: string } | { readonly app: string };

/** The apps of this daemon's files, and which store has taken them: of another one nothing unknown may be called unknown. */
export class FileApps {
  #apps: readonly Named[];
  #appliedTo: string | undefined;
  /** Built when it is asked for, which is rare, and let go when all is applied. */
  #names: { readonly apps: ReadonlySet<string>; readonly domains: ReadonlySet<string> } | undefined;

  constructor(apps: readonly Named[]) {
    this.#apps = apps;
  }

  /** The files say something else from now on. */
  read(apps: readonly Named[]): void {
    this.#apps = apps;
    this.#names = undefined;
  }

  /** The store of this identity (Cmdb.beat) has taken what the files say; undefined: none has. */
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
 * Whether the store has what it is asked for, if anybody has. What this daemon's own files have it lacks until they are applied,
 * however long it refuses them; what others' have may be on its way for one TTL.
 */
export function isStoreComplete(
  query: AppQuery,
  store: Pick<StoreHealth, 'identity' | 'isComplete' | 'isFamiliar'>,
  files: FileApps,
): boolean {
  if (!store.isComplete) return false;
  return files.areAppliedTo(store.identity) || (store.isFamiliar && !files.have(query));
}
