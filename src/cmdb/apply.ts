import type { App } from '../model/app.js';
import { keepLastGood } from '../model/last-good.js';
import { orderMaintenance } from '../model/maintenance.js';
import { nextDueAt } from '../model/schedule.js';
import { usesOfRelabelling } from '../model/usage.js';
import { isForeign, recordToPut, staysAs } from './app-origin.js';
import { batches, inTurns } from '../machine/batches.js';
import { type Resolution, resolveClaims } from './claims.js';
import type { AppChange, AppEdit, Conflict, Edited, FoundApp } from './cmdb.js';
import { encodeHoldings, isHolding } from './holdings.js';
import { isKey } from './key-limits.js';
import type { Documents, DocumentStore, Wanted } from './documents.js';
import type { StoredApp } from './record-format.js';
import type { RecordReader } from './record-reader.js';
import { Records } from './records.js';
import { tombstone } from './tombstone.js';
import { newVersion } from './update.js';

type Origins = NonNullable<AppChange['origins']>;

export interface ApplyContext {
  readonly store: DocumentStore;
  readonly origins: Origins;
  readonly files: AppChange['files'];
  readonly reader: RecordReader;
  readonly now: number;
}

/** The part of a change that one transaction writes. */
interface Part {
  readonly apps: readonly App[];
  /** Apps to remove. */
  readonly names: readonly string[];
}

/** See Cmdb.apply. All apps that exchange domains are written in one transaction, the others in batches. */
export async function applyApps(
  put: readonly App[],
  remove: readonly string[],
  { store, origins, files, reader, now }: ApplyContext,
): Promise<Conflict[]> {
  // First what the files hold, so that no other machine removes it from then on.
  if (files?.apps) await noteHoldings(files.host, files.apps, store);
  const others = (files?.others ?? []).filter(isKey);
  const records = (documents: Documents) => new Records(documents, reader);
  const changed: App[] = [];
  for await (const apps of inTurns(put, store.batch.read)) {
    const isChanged = (known: Records) => apps.filter((app) => !isCurrent(app, known, origins));
    changed.push(...(await store.view(wantedToCompare(apps), (documents) => isChanged(records(documents)))));
  }
  const gone: string[] = [];
  for (const names of batches(remove, store.batch.read)) {
    const there = (documents: Documents) => removable(names, others, documents, records(documents));
    gone.push(...(await store.view(wantedToRemove(names, others), there)));
  }
  const { exchanging, independent } = await split(changed, store, records);
  const write = ({ apps, names }: Part, isLast: boolean) =>
    store.write(
      [...wantedToCompare(apps), ...wantedOf(apps.map(({ name }) => name)), ...wantedToRemove(names, others)],
      (documents) => {
        const known = records(documents);
        removeAll(removable(names, others, documents, known), documents, known, origins);
        return putAll(apps, documents, known, { origins, now });
      },
      { isLast },
    );
  // Removals come first, as other apps may want the freed domains. A change that fits one transaction is not split.
  const size = store.batch.write;
  const atOnce = { apps: exchanging, names: gone.slice(0, size) };
  const parts: Part[] = [
    ...[...batches(gone.slice(size), size)].map((names) => ({ apps: [], names })),
    ...(atOnce.apps.length + atOnce.names.length > 0 ? [atOnce] : []),
    ...[...batches(independent, size)].map((apps) => ({ apps, names: [] })),
  ];
  const conflicts: Conflict[] = [];
  for await (const [part] of inTurns(parts, 1)) conflicts.push(...(await write(part as Part, part === parts.at(-1))));
  return conflicts;
}

async function noteHoldings(host: string, apps: readonly string[], store: DocumentStore): Promise<void> {
  const text = encodeHoldings(apps);
  await store.write([['files', host]], (documents) => {
    if (documents.get('files', host) !== text) documents.set('files', host, text);
  });
}

/** The apps that exist and that no other machine's files hold. */
function removable(
  names: readonly string[],
  others: readonly string[],
  documents: Documents,
  records: Records,
): readonly string[] {
  if (names.length === 0) return [];
  const holdings = others.map((host) => documents.get('files', host));
  return names.filter((name) => isThere(name, records) && !holdings.some((text) => isHolding(text, name)));
}

function wantedToRemove(names: readonly string[], others: readonly string[]): Wanted[] {
  if (names.length === 0) return [];
  return [...wantedOf(names), ...others.map((host): Wanted => ['files', host])];
}

function wantedOf(names: readonly string[]): Wanted[] {
  return names.flatMap((name): Wanted[] => [
    ['app', name],
    ['deployment', name],
  ]);
}

function wantedToCompare(apps: readonly App[]): Wanted[] {
  return apps.flatMap(({ name, domains }): Wanted[] => [
    ['app', name],
    ...domains.map((domain): Wanted => ['domain', domain]),
  ]);
}

function isCurrent(app: App, records: Records, origins: Origins): boolean {
  const text = records.appText(app.name);
  if (!staysAs(app, text, origins.get(app.name), () => records.app(app.name), records.format)) return false;
  return !records.format.holdsApp(text, app) || app.domains.every((domain) => records.claimant(domain) === app.name);
}

function isThere(name: string, records: Records): boolean {
  return records.appText(name) !== undefined || records.deployment(name).version !== '';
}

/** Separates the apps that exchange domains from the others. A change that fits one transaction is not split. */
async function split(
  changed: readonly App[],
  store: DocumentStore,
  records: (documents: Documents) => Records,
): Promise<{ exchanging: readonly App[]; independent: readonly App[] }> {
  if (changed.length <= store.batch.write) return { exchanging: changed, independent: [] };
  const names = new Set(changed.map(({ name }) => name));
  const exchanging = new Set<string>();
  for await (const apps of inTurns(changed, store.batch.read)) {
    const owners = await store.view(wantedToCompare(apps), (documents) =>
      apps.flatMap(({ name, domains }) =>
        domains.map((domain) => [name, records(documents).claimant(domain)] as const),
      ),
    );
    for (const [name, owner] of owners) {
      if (owner !== undefined && owner !== name && names.has(owner)) exchanging.add(name).add(owner);
    }
  }
  const isExchanging = ({ name }: App) => exchanging.has(name);
  return { exchanging: changed.filter(isExchanging), independent: changed.filter((app) => !isExchanging(app)) };
}

function putAll(
  apps: readonly App[],
  documents: Documents,
  records: Records,
  { origins, now }: Pick<ApplyContext, 'origins' | 'now'>,
): readonly Conflict[] {
  const changed = apps.filter((app) => !isCurrent(app, records, origins));
  const foreign = changed.filter(({ name }) => isForeign(records.app(name), origins.get(name)));
  const own = foreign.length === 0 ? changed : changed.filter((app) => !foreign.includes(app));
  const { accepted, conflicts } = claimsOf(own, records);
  const toPut = accepted.map((app) => {
    const { name } = app;
    return recordToPut(app, records.appText(name), records.app(name), origins.get(name), records.format);
  });
  putRecords(toPut, documents, records, now);
  const taken = foreign.map(({ name }) => {
    const { host: heldBy, api } = records.app(name)?.origin ?? {};
    return { wantedBy: name, heldBy, ...(api && { putBy: api.by }) };
  });
  return [...taken, ...conflicts];
}

/** Which of these apps get all their domains. */
function claimsOf(apps: readonly App[], records: Records): Resolution {
  return resolveClaims(apps, {
    ownerOf: (domain) => records.owner(domain)?.app.name,
    domainsOf: (name) => domainsHad(name, records).filter((domain) => records.claimant(domain) === name),
  });
}

function domainsHad(name: string, records: Records): readonly string[] {
  const stored = records.app(name);
  return stored && !stored.removed ? stored.app.domains : [];
}

/** Stores apps that get all their domains. */
function putRecords(toPut: readonly StoredApp[], documents: Documents, records: Records, now: number): void {
  for (const {
    app: { name },
  } of toPut)
    for (const domain of domainsHad(name, records)) records.unclaim(domain, name);
  for (const stored of toPut) {
    const { app } = stored;
    const { name } = app;
    for (const domain of app.domains) records.claim(domain, name);
    const before = records.app(name);
    const { deployment } = records.deployment(name);
    const kept = before ? keepLastGood(deployment, before.app, app) : deployment;
    if (kept !== deployment) records.putDeployment(name, { deployment: kept, version: newVersion() });
    records.putApp(name, stored);
    const relabelled = before ? usesOfRelabelling(deployment, before.app.labels, app.labels, now) : [];
    for (const use of relabelled) documents.use(use);
    documents.schedule(name, nextDueAt(kept, app));
    documents.append({ app: name });
  }
}

/** The work of Cmdb.edit within one transaction. */
export function editApp<Edit extends AppEdit>(
  name: string,
  change: (before: FoundApp) => Edit,
  documents: Documents,
  records: Records,
  { dryRun, now }: { readonly dryRun: boolean; readonly now: number },
): Edited<Edit> {
  const isUnreadable = records.appText(name) !== undefined && records.app(name) === undefined;
  const before = isUnreadable ? 'unreadable' : records.record(name);
  const edit = change(before);
  if (edit === 'keep') return { before, edit, conflicts: [] };
  if (edit === 'remove') {
    if (!dryRun && isThere(name, records)) removeApp(name, documents, records);
    return { before, edit, conflicts: [] };
  }
  const { app, origin } = edit;
  const { accepted, conflicts } = claimsOf([app], records);
  if (!dryRun && accepted.length > 0) putRecords([{ app, removed: false, origin }], documents, records, now);
  return { before, edit, conflicts };
}

function removeAll(names: readonly string[], documents: Documents, records: Records, origins: Origins): void {
  for (const name of names) if (!isForeign(records.app(name), origins.get(name))) removeApp(name, documents, records);
}

/** Removes an unreadable app, too: its claims lead nowhere, and its instances drain under a tombstone. */
function removeApp(name: string, documents: Documents, records: Records): void {
  const stored = records.app(name);
  const { deployment } = records.deployment(name);
  for (const domain of stored?.app.domains ?? []) records.unclaim(domain, name);
  if (deployment.instances.length === 0) records.drop(name);
  else if (stored?.removed) return;
  else {
    records.putApp(name, stored ? { app: stored.app, removed: true } : tombstone(name, deployment));
    // An order of its operator's goes with it: an app of its name that comes while this one drains is another.
    if (deployment.maintenance) {
      records.putDeployment(name, { deployment: orderMaintenance(deployment, undefined), version: newVersion() });
    }
    documents.schedule(name, 0);
  }
  documents.append({ app: name });
}
