import { stat } from 'node:fs/promises';
import { setImmediate as turn } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { AppOrigin, Cmdb, Conflict, PutOrigin } from '../cmdb/cmdb.js';
import type { App } from '../model/app.js';
import { type PastRemoval, type Placed, recentRemovals, removalFault, type Removals } from './removal-guard.js';
import type { Clock } from '../model/clock.js';
import {
  contentHash,
  emptyManifest,
  type EntryTexts,
  type Manifest,
  type ManifestEntry,
  readManifest,
  writeManifest,
} from './manifest.js';

export interface AppApplierOptions {
  readonly cmdb: Pick<Cmdb, 'apply' | 'find'>;
  /** Name of this machine. */
  readonly host: string;
  /** Remembers what was put, across restarts. */
  readonly manifestFile: string;
  /** The other machines that live. Asked before anything is removed. */
  readonly otherHosts: () => Promise<readonly string[]>;
  /** What the files of this machine say of an app. */
  readonly sourceOf: (app: string) => AppSource;
  readonly clock: Pick<Clock, 'now'>;
  readonly logger: Logger;
}

export interface AppSource {
  /** Absolute path of its file. */
  readonly file: string;
  /** Files that say what it is: they tell since when, where the manifest does not. */
  readonly files: readonly string[];
  /** Its file is one that a customer writes. */
  readonly byCustomer: boolean;
}

export interface ApplyOptions {
  /** What may be removed at once; absent: everything. */
  readonly removals?: Pick<Removals, 'patterns' | 'max'> | undefined;
  /** Apps that earlier files held, and of which is not known what these say: they stay as the store has them. */
  readonly held?: ReadonlySet<string> | undefined;
  /** Identity of the store (Cmdb.beat). Another one than last time: everything is put again. */
  readonly identity?: string;
  /** Puts everything again, whatever the manifest says; what is newer in the store stays. */
  readonly force?: boolean;
  /** Puts these again, likewise: the store has lost them. */
  readonly again?: ReadonlySet<string> | undefined;
}

export interface AppApplier {
  /** Why apps that no file has are not removed; see removalFault. */
  readonly withheld: string | undefined;
  /**
   * Brings the store to these apps from files: puts what changed here and removes what earlier files held and these do not.
   * Where nothing changed, nothing is written. What is put though it did not change here, because the store is another one
   * or this machine had forgotten, replaces nothing that another machine's file brought later. What another machine that
   * lives has a file of stays, and is that machine's from then on. Resolves to the domains that
   * other apps own and the apps that customers' files here may not be, each of them logged; such an app is tried again next time. Throws what the store throws; then the next
   * call starts over. One call runs at a time.
   */
  apply(apps: readonly App[], options?: ApplyOptions): Promise<Conflict[]>;
}

/** An app as the files have it, beside what the manifest says of it. */
interface Wanted {
  readonly app: App;
  readonly entry: ManifestEntry;
  /** Another content than before; false also where it is seen for the first time. */
  readonly changed: boolean;
  readonly isApplied: boolean;
}

/** Apps that one log line names. */
const mostNamed = 20;
/** Apps looked at before anything else has a turn; one that changed takes as long as many that did not. */
const workInTurn = 2_000;
const workOfNew = 20;

export function createAppApplier(options: AppApplierOptions): AppApplier {
  const { cmdb, host, manifestFile, sourceOf, clock, logger } = options;
  const hashes = new WeakMap<App, string>();
  const texts: EntryTexts = new WeakMap();
  let manifest: Manifest | undefined;
  const remember = (next: Manifest): Promise<void> => {
    manifest = next;
    return writeManifest(manifestFile, next, texts).catch((err: unknown) => {
      const consequence = 'check stateDir; the next start applies all apps again';
      logger.error({ err, file: manifestFile }, `the record of applied apps cannot be written: ${consequence}`);
    });
  };
  let withheld: string | undefined;
  let queue: Promise<unknown> = Promise.resolve();

  const apply = async (
    apps: readonly App[],
    { identity: told, force, again, held, removals }: ApplyOptions,
  ): Promise<Conflict[]> => {
    const known = (manifest ??= recall(manifestFile, logger));
    const identity = told ?? known.identity;
    const all = force === true || identity !== known.identity;
    // Of thousands of apps mostly one: the others are not copied about.
    const wanted: Wanted[] = [];
    let work = 0;
    for (const app of apps) {
      const isNew = hashes.get(app) === undefined;
      if (isNew) hashes.set(app, contentHash(app));
      // Requests go on while thousands are looked at.
      work += isNew ? workOfNew : 1;
      if (work >= workInTurn) {
        await turn();
        work = 0;
      }
      const seen = compare(app, hashes.get(app) as string, known, options);
      const each = seen instanceof Promise ? await seen : seen;
      const isNews = !each.isApplied || each.entry !== known.apps.get(app.name);
      if (all || isNews || again?.has(app.name) === true) wanted.push(each);
    }
    await turn();
    const put = wanted.filter(({ app, isApplied }) => all || !isApplied || again?.has(app.name) === true);
    const names = new Set(apps.map(({ name }) => name));
    const missing: [string, ManifestEntry][] = [];
    for (const it of known.apps) if (!names.has(it[0])) missing.push(it);
    const stays = missing.filter(([name]) => held?.has(name));
    const goes = missing.filter(([name]) => !held?.has(name));
    const now = clock.now();
    const past = recentRemovals(known.removals ?? [], now);
    const present = () => [...placed(stays), ...apps.map(({ name }) => ({ name, file: sourceOf(name).file }))];
    const fault =
      removals && goes.length > 0
        ? removalFault({ ...removals, missing: placed(goes), present: present(), past, now })
        : undefined;
    if (fault !== undefined && fault !== withheld)
      logger.error({ apps: goes.slice(0, mostNamed).map(([name]) => name) }, fault);
    withheld = fault;
    const kept = fault === undefined ? stays : missing;
    const remove = fault === undefined ? goes.map(([name]) => name) : [];
    const isKnown = !all && known.isNoted === true;
    if (wanted.length === 0 && remove.length === 0 && isKnown) return [];

    const pending = put.filter(({ isApplied }) => !isApplied);
    const areFamiliar = pending.every(({ app }) => known.apps.has(app.name));
    const areNoted = pending.every(({ app, entry }) => known.apps.get(app.name) === entry);
    const entries = new Map(known.apps);
    for (const { app, entry } of pending) entries.set(app.name, entry);
    const noted = (manifest = { ...known, apps: entries, isNoted: areFamiliar ? known.isNoted : undefined });
    // First what is about to be put: one that is not remembered could never be removed with its file.
    if (!areFamiliar) await remember(noted);
    const origins = new Map(put.map((each) => [each.app.name, originOf(each, host)]));
    for (const [name, entry] of goes) origins.set(name, { ...placeOf(entry, host), changed: false });
    const isSame = isKnown && remove.length === 0 && areFamiliar;
    const others = remove.length === 0 ? [] : await options.otherHosts();
    // What a customer wants to be and is not keeps nobody's app from its removal.
    const wasApplied = (name: string) => known.apps.has(name) && !known.apps.get(name)?.pending;
    const isHeld = ({ name }: App) => !sourceOf(name).byCustomer || wasApplied(name);
    const holding = () => [...kept.map(([name]) => name), ...apps.filter(isHeld).map(({ name }) => name)];
    const files = { host, others, ...(!isSame && { apps: holding() }) };
    const change = { put: put.map(({ app }) => app), remove, origins, files };
    const conflicts = await cmdb.apply(change).catch(async (error: unknown) => {
      // Whenever a store takes it, it counts from now.
      if (areFamiliar && !areNoted) await remember(noted);
      throw error;
    });
    if (others.length > 0) await tellOfKept(remove, cmdb, logger);

    const refused = new Set(conflicts.map(({ wantedBy }) => wantedBy));
    await turn();
    for (const name of remove) entries.delete(name);
    for (const { app, entry } of wanted) {
      const { pending: _, ...rest } = entry;
      entries.set(app.name, refused.has(app.name) ? { ...rest, pending: true } : rest);
    }
    const removed: PastRemoval[] =
      remove.length === 0
        ? []
        : [{ at: now, count: remove.length, ...(removals?.max !== undefined && { wasAllowed: true as const }) }];
    await remember({ identity, apps: entries, isNoted: true, removals: [...past, ...removed] });
    for (const conflict of conflicts) report(conflict, sourceOf(conflict.wantedBy).file, logger);
    return conflicts;
  };

  return {
    get withheld() {
      return withheld;
    },
    apply: (apps, applyOptions = {}) => {
      const result = queue.then(() => apply(apps, applyOptions));
      queue = result.catch(() => undefined);
      return result;
    },
  };
}

/** Names the apps that have no file here and stay because another machine has one. */
async function tellOfKept(names: readonly string[], cmdb: Pick<Cmdb, 'find'>, logger: Logger): Promise<void> {
  const records = await Promise.all(names.slice(0, mostNamed).map((app) => cmdb.find({ app })));
  const apps = records.flatMap((record) => (record && !record.removed ? [record.app.name] : []));
  if (apps.length > 0) logger.info({ apps }, 'apps without a file here stay: files of other machines have them');
}

function placed(apps: readonly (readonly [string, ManifestEntry])[]): Placed[] {
  return apps.map(([name, { file }]) => ({ name, file }));
}

/** A promise only where the age of a file has to be looked up. */
function compare(app: App, hash: string, known: Manifest, options: AppApplierOptions): Wanted | Promise<Wanted> {
  const { clock, sourceOf } = options;
  const { file, files, byCustomer } = sourceOf(app.name);
  const before = known.apps.get(app.name);
  const place = { file, ...(byCustomer && { byCustomer }) };
  if (before?.hash === hash) {
    const { byCustomer: _before, ...rest } = before;
    const entry = isFromElsewhere(place, before) ? { ...rest, ...place } : before;
    return { app, entry, changed: false, isApplied: !before.pending };
  }
  const now = clock.now();
  const wanted = (since: number): Wanted => {
    const entry = { hash, since, ...place, pending: true as const };
    return { app, entry, changed: before !== undefined, isApplied: false };
  };
  // A clock that was set back does not make the new content the older one.
  return before ? wanted(Math.max(now, before.since + 1)) : changedAt(files, now).then(wanted);
}

function originOf({ entry, changed }: Wanted, host: string): PutOrigin {
  return { ...placeOf(entry, host), changed };
}

function placeOf({ since, file, byCustomer }: ManifestEntry, host: string): AppOrigin {
  return { host, since, ...(byCustomer && { customer: file }) };
}

function isFromElsewhere(now: Pick<ManifestEntry, 'file' | 'byCustomer'>, before: ManifestEntry | undefined): boolean {
  return now.file !== before?.file || now.byCustomer !== before?.byCustomer;
}

/** When the last of these files got its content on this machine, which a copy that keeps times does not hide; else now. */
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

function recall(file: string, logger: Logger): Manifest {
  try {
    return readManifest(file);
  } catch (err) {
    const consequence = 'an app whose file was deleted meanwhile stays until it is removed by hand';
    logger.warn({ err, file }, `the record of applied apps cannot be read and is rebuilt; ${consequence}`);
    return emptyManifest;
  }
}

function report(conflict: Conflict, file: string | undefined, logger: Logger): void {
  logger.error({ ...conflict, app: conflict.wantedBy, file }, describeConflict(conflict));
}

/** What an app was not applied for, and what to do. */
export function describeConflict(conflict: Conflict): string {
  const { wantedBy } = conflict;
  if ('domain' in conflict) {
    const remedy = `app ${wantedBy} was not applied: take the domain out of one of them`;
    return `domain ${conflict.domain} of app ${wantedBy} belongs to app ${conflict.ownedBy}; ${remedy}`;
  }
  const holder = conflict.heldBy === undefined ? 'did not come from a file' : `came from a file of ${conflict.heldBy}`;
  return `app ${wantedBy} ${holder} and belongs to somebody else; the customer's file was not applied: give its app another name`;
}
