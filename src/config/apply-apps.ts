import type { Logger } from 'pino';
import type { Cmdb, DomainConflict } from '../cmdb/cmdb.js';
import type { App } from '../model/app.js';
import { contentHash, emptyManifest, type Manifest, readManifest, writeManifest } from './manifest.js';

export interface AppApplierOptions {
  readonly cmdb: Pick<Cmdb, 'apply'>;
  /** Remembers what was put, across restarts. */
  readonly manifestFile: string;
  readonly logger: Logger;
}

export interface ApplyOptions {
  /** Identity of the store (Cmdb.beat). Another one than last time: everything is put again. */
  readonly identity?: string;
  /** Puts everything again, whatever the manifest says. */
  readonly force?: boolean;
}

export interface AppApplier {
  /**
   * Brings the store to these apps from files: puts what changed and removes what earlier files held and these do not.
   * Where nothing changed, nothing is written. Resolves to the domains that other apps own, each of them logged; such
   * an app is tried again next time. Throws what the store throws; then the next call starts over. One call runs at a
   * time.
   */
  apply(apps: readonly App[], options?: ApplyOptions): Promise<DomainConflict[]>;
}

export function createAppApplier({ cmdb, manifestFile, logger }: AppApplierOptions): AppApplier {
  let manifest: Manifest | undefined;
  let queue: Promise<unknown> = Promise.resolve();

  const apply = async (apps: readonly App[], options: ApplyOptions): Promise<DomainConflict[]> => {
    const known = (manifest ??= await recall(manifestFile, logger));
    const identity = options.identity ?? known.identity;
    const all = options.force === true || identity !== known.identity;
    const wanted = new Map(apps.map((app) => [app.name, { app, hash: contentHash(app) }]));
    const put = [...wanted.values()]
      .filter(({ app, hash }) => all || hashOf(known, app.name) !== hash)
      .map(({ app }) => app);
    const remove = Object.keys(known.apps).filter((name) => !wanted.has(name));
    if (put.length === 0 && remove.length === 0 && identity === known.identity) return [];

    // Names first: an app that is put but not remembered could never be removed with its file.
    const pending = Object.fromEntries(
      put.filter(({ name }) => hashOf(known, name) === undefined).map(({ name }) => [name, 'pending']),
    );
    manifest = { identity: known.identity, apps: { ...known.apps, ...pending } };
    if (Object.keys(pending).length > 0) await remember(manifestFile, manifest, logger);
    const conflicts = await putAll(cmdb, put, remove);

    const refused = new Set(conflicts.map(({ wantedBy }) => wantedBy));
    const hashes = [...wanted].flatMap(([name, { hash }]) => {
      const stored = refused.has(name) ? hashOf(known, name) : hash;
      return stored === undefined ? [] : [[name, stored] as const];
    });
    manifest = { identity, apps: Object.fromEntries(hashes) };
    await remember(manifestFile, manifest, logger);
    for (const conflict of conflicts) report(conflict, logger);
    return conflicts;
  };

  return {
    apply: (apps, options = {}) => {
      const result = queue.then(() => apply(apps, options));
      queue = result.catch(() => undefined);
      return result;
    },
  };
}

/** Domains may move between the apps of one change: those who wanted one too early are put again. */
async function putAll(
  cmdb: Pick<Cmdb, 'apply'>,
  put: readonly App[],
  remove: readonly string[],
): Promise<DomainConflict[]> {
  const conflicts = await cmdb.apply({ put, remove });
  const ours = new Set([...put.map(({ name }) => name), ...remove]);
  const internal = (list: readonly DomainConflict[]) => list.some(({ ownedBy }) => ours.has(ownedBy));
  if (!internal(conflicts)) return conflicts;
  const early = withConflicts(put, conflicts);
  const still = await cmdb.apply({ put: early, remove: [] });
  if (!internal(still)) return still;
  // They swap domains: each lets go of its old ones before it claims the new.
  const foreign = still.filter(({ ownedBy }) => !ours.has(ownedBy));
  const blocked = new Set(foreign.map(({ wantedBy }) => wantedBy));
  const swapping = withConflicts(early, still).filter(({ name }) => !blocked.has(name));
  const taken = new Set(still.map(({ domain }) => domain));
  const stripped = swapping.map((app) => ({ ...app, domains: app.domains.filter((domain) => !taken.has(domain)) }));
  await cmdb.apply({ put: stripped, remove: [] });
  const final = await cmdb.apply({ put: swapping, remove: [] });
  return [...still.filter(({ wantedBy }) => blocked.has(wantedBy)), ...final];
}

function withConflicts(apps: readonly App[], conflicts: readonly DomainConflict[]): App[] {
  return apps.filter(({ name }) => conflicts.some(({ wantedBy }) => wantedBy === name));
}

function hashOf(manifest: Manifest, name: string): string | undefined {
  return Object.hasOwn(manifest.apps, name) ? manifest.apps[name] : undefined;
}

async function recall(file: string, logger: Logger): Promise<Manifest> {
  try {
    return await readManifest(file);
  } catch (err) {
    const consequence = 'an app whose file was deleted meanwhile stays until it is removed by hand';
    logger.warn({ err, file }, `the record of applied apps cannot be read and is rebuilt; ${consequence}`);
    return emptyManifest;
  }
}

async function remember(file: string, manifest: Manifest, logger: Logger): Promise<void> {
  try {
    await writeManifest(file, manifest);
  } catch (err) {
    logger.error(
      { err, file },
      'the record of applied apps cannot be written: check stateDir; the next start applies all apps again',
    );
  }
}

function report({ domain, wantedBy, ownedBy }: DomainConflict, logger: Logger): void {
  const remedy = `app ${wantedBy} was not applied: take the domain out of one of them`;
  logger.error(
    { domain, app: wantedBy, ownedBy },
    `domain ${domain} of app ${wantedBy} belongs to app ${ownedBy}; ${remedy}`,
  );
}
