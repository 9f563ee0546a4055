import { stat } from 'node:fs/promises';
import { setImmediate as turn } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { AppOrigin, Cmdb, Conflict, PutOrigin } from '../cmdb/cmdb.js';
import { inTurns } from '../machine/batches.js';
import type { App } from '../model/app.js';
import type { Clock } from '../model/clock.js';
import type { Config } from './config.js';
import {
  contentHash,
  digestOf,
  type Manifest,
  type ManifestEntry,
  ManifestFile,
  type PastRemoval,
} from './manifest.js';
import type { HeldApp } from './reading.js';
import { recentRemovals, removalFault } from './removal-guard.js';

export interface AppApplierOptions {
  readonly cmdb: Pick<Cmdb, 'apply' | 'find'>;
  /** Name of this machine. */
  readonly host: string;
  /** Remembers across restarts what was put. */
  readonly manifestFile: ManifestFile;
  /** The other machines that live. Asked before anything is removed. */
  readonly otherHosts: () => Promise<readonly string[]>;
  readonly clock: Pick<Clock, 'now'>;
  readonly logger: Logger;
}

/** What the files of this machine say of apps. */
export type AppFiles = Pick<
  Config,
  'file' | 'apps' | 'appFiles' | 'customerApps' | 'heldApps' | 'places' | 'maxRemovals'
>;

export interface ApplyOptions {
  /** Identity of the store (Cmdb.beat). If it is another one than last time, everything is put again. */
  readonly identity?: string;
  /** Puts everything again, whatever the manifest says; what is newer in the store stays. */
  readonly force?: boolean;
  /** Puts these again, likewise: the store has lost them. */
  readonly again?: ReadonlySet<string> | undefined;
}

export interface AppApplier {
  /** Why apps that are in no file are not removed; see removalFault. */
  readonly withheld: string | undefined;
  /**
   * Brings the store to the apps of these files: puts what changed here and removes what earlier files held and these do not.
   * Writes nothing if nothing changed. What is put although it did not change here, because the store is another one or this
   * machine had forgotten it, replaces nothing that another machine's file brought later. An app that a file of another live
   * machine holds stays, and so does one that was put by API. Resolves to what the store refused, each logged and tried again next time. Throws what the store throws;
   * the next call then starts over. Calls run one after the other.
   */
  apply(files: AppFiles, options?: ApplyOptions): Promise<Conflict[]>;
}

/** An app to put, or of which the manifest has to say something new. */
interface Wanted {
  readonly app: App;
  readonly entry: ManifestEntry;
  /** Its content is not what it was; false also for an app that is seen for the first time. */
  readonly changed: boolean;
}

type Place = Pick<ManifestEntry, 'file' | 'byCustomer'>;

/** Apps that one log line names. */
const mostNamed = 20;
/** Work between two turns of the event loop. An app counts once, one that has to be hashed `workOfNew` times. */
const workInTurn = 2_000;
const workOfNew = 20;

export function createAppApplier(options: AppApplierOptions): AppApplier {
  const { cmdb, host, manifestFile, otherHosts, clock, logger } = options;
  const hashes = new WeakMap<App, string>();
  let manifest: Manifest | undefined;
  let withheld: string | undefined;
  let queue: Promise<unknown> = Promise.resolve();

  const remember = (next: Manifest): Promise<void> => {
    manifest = next;
    return manifestFile.write(next).catch((err: unknown) => {
      const consequence = 'check stateDir; the next start applies all apps again';
      logger.error({ err, file: manifestFile.path }, `the record of applied apps cannot be written: ${consequence}`);
    });
  };

  /**
   * The apps to put, and those of which the manifest has to say something new; of thousands usually one. `familiar`: how many of the
   * manifest's apps are in files.
   */
  const compare = async (files: AppFiles, known: Manifest, isAgain: (app: string) => boolean) => {
    const customers = new Set(files.customerApps);
    const wanted: Wanted[] = [];
    let familiar = 0;
    let work = 0;
    for (const app of files.apps) {
      const { name } = app;
      work += hashes.has(app) ? 1 : workOfNew;
      const hash = hashes.get(app) ?? contentHash(app);
      hashes.set(app, hash);
      if (work >= workInTurn) {
        await turn();
        work = 0;
      }
      const file = files.appFiles[name] ?? files.file;
      const place: Place = { file, ...(customers.has(name) && { byCustomer: true }) };
      const before = known.apps.get(name);
      if (before) familiar += 1;
      const now = clock.now();
      const entry = before
        ? entryAfter(before, hash, place, now)
        : { hash, since: await changedAt([files.file, file], now), ...place, pending: true as const };
      if (entry !== before || entry.pending || isAgain(name))
        wanted.push({ app, entry, changed: before !== undefined && before.hash !== hash });
    }
    return { wanted, familiar };
  };

  const apply = async (files: AppFiles, { identity: told, force, again }: ApplyOptions): Promise<Conflict[]> => {
    const known = (manifest ??= recall(manifestFile, logger));
    const identity = told ?? known.identity;
    const all = force === true || identity !== known.identity;
    const isAgain = (app: string) => all || again?.has(app) === true;
    const { wanted, familiar } = await compare(files, known, isAgain);
    await turn();
    const entries = new Map(known.apps);
    for await (const some of inTurns(wanted, workInTurn))
      for (const { app, entry } of some) entries.set(app.name, entry);
    await turn();
    const now = clock.now();
    const past = recentRemovals(known.removals ?? [], now);
    const goes = familiar === known.apps.size ? [] : unfiled(files, known);
    const fault = faultOf(goes, files, entries, past);
    if (fault !== undefined && fault !== withheld)
      logger.error({ apps: goes.slice(0, mostNamed).map(({ name }) => name) }, fault);
    withheld = fault;
    const remove = fault === undefined ? goes.map(({ name }) => name) : [];
    const removed = new Set(remove);
    await turn();
    const holdings = holdingsOf(entries, removed);
    const isTold = !all && holdings.digest === known.told;
    if (wanted.length === 0 && remove.length === 0 && isTold) return [];

    const areFamiliar = wanted.every(({ app }) => known.apps.has(app.name));
    const areNoted = wanted.every(({ app, entry }) => known.apps.get(app.name) === entry);
    const { told: before, ...rest } = known;
    // While a change is under way nobody knows what the store was told.
    const noted = (manifest = { ...rest, ...(isTold && before !== undefined && { told: before }), apps: entries });
    // Before the store is asked: an app that is not remembered could never be removed with its file.
    if (!areFamiliar) await remember(noted);
    await turn();
    const put = wanted.filter(({ app, entry }) => entry.pending || isAgain(app.name));
    const origins = new Map<string, PutOrigin>();
    for await (const some of inTurns(put, workInTurn))
      for (const each of some) origins.set(each.app.name, originOf(each, host));
    for (const name of remove) origins.set(name, { ...placeOf(entries.get(name)!, host), changed: false });
    const others = remove.length === 0 ? [] : await otherHosts();
    await turn();
    const machine = { host, others, ...(!isTold && { apps: holdings.apps }) };
    const conflicts = await cmdb
      .apply({ put: put.map(({ app }) => app), remove, origins, files: machine })
      .catch(async (error: unknown) => {
        // The change counts from now, whenever the store takes it.
        if (areFamiliar && !areNoted) await remember(noted);
        throw error;
      });
    if (others.length > 0) await tellOfKept(remove, cmdb, logger);

    const refusals = new Map(conflicts.map((conflict) => [conflict.wantedBy, conflict]));
    await turn();
    for (const name of remove) entries.delete(name);
    for await (const some of inTurns(put, workInTurn))
      for (const { app, entry } of some) entries.set(app.name, entryAnswered(entry, refusals.get(app.name)));
    const { maxRemovals } = files;
    const removal = { at: now, count: remove.length, ...(maxRemovals !== undefined && { wasAllowed: true as const }) };
    const removals = remove.length === 0 ? [...past] : [...past, removal];
    const taken = (manifest = { ...(identity !== undefined && { identity }), apps: entries, removals });
    // A customer's app is held only once the store has taken it.
    const { apps, digest } = put.some(({ entry }) => entry.byCustomer) ? holdingsOf(entries, removed) : holdings;
    if (digest !== holdings.digest) await cmdb.apply({ put: [], remove: [], files: { host, others: [], apps } });
    await remember({ ...taken, told: digest });
    for (const conflict of conflicts) report(conflict, entries.get(conflict.wantedBy)?.file, logger);
    return conflicts;
  };

  return {
    get withheld() {
      return withheld;
    },
    apply: (files, applyOptions = {}) => {
      const result = queue.then(() => apply(files, applyOptions));
      queue = result.catch(() => undefined);
      return result;
    },
  };
}

/** Apps that earlier files held and these do not. What a file with a fault held before is held still. */
function unfiled({ apps, heldApps }: AppFiles, known: Manifest): HeldApp[] {
  const filed = new Set([...heldApps, ...apps.map(({ name }) => name)]);
  const gone: HeldApp[] = [];
  for (const [name, { file }] of known.apps) if (!filed.has(name)) gone.push({ name, file });
  return gone;
}

function faultOf(
  missing: readonly HeldApp[],
  { places: { patterns }, maxRemovals: max }: AppFiles,
  entries: Manifest['apps'],
  past: readonly PastRemoval[],
): string | undefined {
  if (missing.length === 0) return undefined;
  const names = new Set(missing.map(({ name }) => name));
  const present = [...entries].flatMap(([name, { file }]) => (names.has(name) ? [] : [{ name, file }]));
  return removalFault({ missing, present, patterns, max, past });
}

/** The apps that the files of this machine hold, and a digest that tells whether they are the same as before. */
function holdingsOf(entries: Manifest['apps'], removed: ReadonlySet<string>) {
  const apps: string[] = [];
  for (const [name, entry] of entries) if (isHeld(entry) && !removed.has(name)) apps.push(name);
  return { apps, digest: digestOf(apps.join('\n')) };
}

/** Logs which apps stay although they have no file here, because another machine has one. */
async function tellOfKept(names: readonly string[], cmdb: Pick<Cmdb, 'find'>, logger: Logger): Promise<void> {
  const records = await Promise.all(names.slice(0, mostNamed).map((app) => cmdb.find({ app })));
  const apps = records.flatMap((record) => (record && !record.removed && !record.origin?.api ? [record.app.name] : []));
  if (apps.length > 0) logger.info({ apps }, 'apps without a file here stay: files of other machines have them');
}

/** The entry of an app that has one already; the same object if nothing of it changed. */
function entryAfter(before: ManifestEntry, hash: string, place: Place, now: number): ManifestEntry {
  if (before.hash === hash) {
    if (before.file === place.file && before.byCustomer === place.byCustomer) return before;
    const { byCustomer: _, ...rest } = before;
    return { ...rest, ...place };
  }
  const isTaken = before.byCustomer === true && isHeld(before);
  // A clock that was set back does not make the new content the older one.
  const since = Math.max(now, before.since + 1);
  return { hash, since, ...place, pending: true, ...(isTaken && { isTaken }) };
}

/** The entry after the store has answered. */
function entryAnswered(entry: ManifestEntry, refusal: Conflict | undefined): ManifestEntry {
  const { pending: _, isTaken: _before, ...rest } = entry;
  if (!refusal) return rest;
  const isTaken = entry.byCustomer === true && isHeld(entry) && 'domain' in refusal;
  return { ...rest, pending: true, ...(isTaken && { isTaken }) };
}

/** Whether this machine holds the app. A customer's file that the store has not taken keeps nobody's app from being removed. */
function isHeld({ byCustomer, pending, isTaken }: ManifestEntry): boolean {
  return !byCustomer || !pending || isTaken === true;
}

function originOf({ entry, changed }: Wanted, host: string): PutOrigin {
  return { ...placeOf(entry, host), changed };
}

function placeOf({ since, file, byCustomer }: ManifestEntry, host: string): AppOrigin {
  return { host, since, ...(byCustomer && { customer: file }) };
}

/** When the newest of these files was changed on this machine, by ctime, which copying with times does not set back; else now. */
async function changedAt(files: readonly string[], now: number): Promise<number> {
  const times = await Promise.all(
    files.map((file) =>
      stat(file).then(
        (found) => found.ctimeMs,
        () => now,
      ),
    ),
  );
  return Math.min(now, Math.round(Math.max(0, ...times)) || now);
}

function recall(file: ManifestFile, logger: Logger): Manifest {
  try {
    return file.read();
  } catch (err) {
    const consequence = 'an app whose file was deleted meanwhile stays until it is removed by hand';
    logger.warn({ err, file: file.path }, `the record of applied apps cannot be read and is rebuilt; ${consequence}`);
    return { apps: new Map() };
  }
}

function report(conflict: Conflict, file: string | undefined, logger: Logger): void {
  logger.error({ ...conflict, app: conflict.wantedBy, file }, describeConflict(conflict));
}

/** Why an app was not applied, and what to do. */
export function describeConflict(conflict: Conflict): string {
  const { wantedBy } = conflict;
  if ('domain' in conflict) {
    const remedy = `app ${wantedBy} was not applied: take the domain out of one of them`;
    return `domain ${conflict.domain} of app ${wantedBy} belongs to app ${conflict.ownedBy}; ${remedy}`;
  }
  if (conflict.putBy !== undefined) {
    const remedy = `give the file's app another name, or remove the one of the API (DELETE /v1/apps/${wantedBy})`;
    return `app ${wantedBy} was put by API (token ${conflict.putBy}), and no file replaces it; the file was not applied: ${remedy}`;
  }
  const holder = conflict.heldBy === undefined ? 'did not come from a file' : `came from a file of ${conflict.heldBy}`;
  return `app ${wantedBy} ${holder} and belongs to somebody else; the customer's file was not applied: give its app another name`;
}
