import type { App } from '../../model/app.js';
import { nextDueAt } from '../../model/schedule.js';
import type { Cmdb, DomainConflict } from '../cmdb.js';
import { encodeApp } from '../record-format.js';
import type { Keys } from './keys.js';
import type { Command, Link } from './link.js';
import type { Stored } from './stored.js';

export interface ApplyContext {
  readonly link: Link;
  readonly keys: Keys;
  readonly read: (names: readonly string[]) => Promise<Stored[]>;
  /** The command that tells of a change of an app's own record. */
  readonly append: (app: string) => Command;
}

const batch = 250;

/** Stores and removes apps, some hundred at a time. Domains are claimed before an app that wants them is written. */
export async function applyApps(
  change: Parameters<Cmdb['apply']>[0],
  context: ApplyContext,
): Promise<DomainConflict[]> {
  const conflicts: DomainConflict[] = [];
  // Removed first: what they give up may be wanted by the others.
  for (const names of batches(change.remove)) await removeAll(names, context);
  for (const apps of batches(change.put)) conflicts.push(...(await putAll(apps, context)));
  return conflicts;
}

async function putAll(apps: readonly App[], context: ApplyContext): Promise<DomainConflict[]> {
  const { link, keys, read, append } = context;
  const before = await read(apps.map(({ name }) => name));
  const changed = apps
    .map((app, index) => ({ app, text: encodeApp({ app, removed: false }), before: before[index] as Stored }))
    .filter(({ text, before: { appText } }) => text !== appText);
  const conflicts = await claimAll(
    changed.map(({ app }) => app),
    context,
  );
  const refused = new Set(conflicts.map(({ wantedBy }) => wantedBy));
  const commands = changed.flatMap(({ app, text, before: stored }): Command[] => {
    const had = stored.app?.app.domains ?? [];
    if (refused.has(app.name))
      return unclaim(
        app.name,
        app.domains.filter((domain) => !had.includes(domain)),
        keys,
      );
    const at = nextDueAt(stored.deployment.deployment, app);
    return [
      ['set', keys.app(app.name), text],
      ['sadd', keys.names, app.name],
      ...(at === undefined ? [] : [['zadd', keys.schedule, 'LT', at, app.name]]),
      ...unclaim(
        app.name,
        had.filter((domain) => !app.domains.includes(domain)),
        keys,
      ),
      append(app.name),
    ];
  });
  await link.all(commands);
  return conflicts;
}

async function removeAll(names: readonly string[], { link, keys, read, append }: ApplyContext): Promise<void> {
  const stored = await read(names);
  const commands = names.flatMap((name, index): Command[] => {
    const { app, appText, deployment } = stored[index] as Stored;
    if (!app || app.removed) return [];
    const freed = unclaim(name, app.app.domains, keys);
    if (deployment.deployment.instances.length === 0) {
      return [
        ...freed,
        ['fcDrop', keys.deployment(name), keys.app(name), deployment.version, appText ?? ''],
        ['srem', keys.names, name],
        append(name),
      ];
    }
    const text = encodeApp({ app: app.app, removed: true });
    return [...freed, ['set', keys.app(name), text], ['zadd', keys.schedule, 'LT', 0, name], append(name)];
  });
  await link.all(commands);
}

/** Claims every domain; one that somebody else has is looked at: a claim counts only while its owner lists the domain. */
async function claimAll(apps: readonly App[], { link, keys, read }: ApplyContext): Promise<DomainConflict[]> {
  const wanted = apps.flatMap(({ name, domains }) => domains.map((domain) => ({ domain, wantedBy: name })));
  const owners = await link.all(wanted.map(({ domain, wantedBy }) => ['fcClaim', keys.domain(domain), wantedBy, '']));
  const taken = wanted
    .map((claim, index) => ({ ...claim, ownedBy: owners[index] as string }))
    .filter(({ ownedBy, wantedBy }) => ownedBy !== wantedBy);
  if (taken.length === 0) return [];
  const records = await read(taken.map(({ ownedBy }) => ownedBy));
  // An app of this very change has no record yet, and its claim counts all the same: the first one has the domain.
  const newcomers = new Map(apps.map(({ name, domains }) => [name, domains]));
  const isStale = ({ domain, ownedBy }: DomainConflict, { app }: Stored) =>
    newcomers.get(ownedBy)?.includes(domain) !== true && (!app || app.removed || !app.app.domains.includes(domain));
  const stale = taken.filter((conflict, index) => isStale(conflict, records[index] as Stored));
  const now = await link.all(
    stale.map(({ domain, wantedBy, ownedBy }) => ['fcClaim', keys.domain(domain), wantedBy, ownedBy]),
  );
  const stillTaken = stale
    .map((claim, index) => ({ ...claim, ownedBy: now[index] as string }))
    .filter(({ ownedBy, wantedBy }) => ownedBy !== wantedBy);
  return [...taken.filter((conflict) => !stale.includes(conflict)), ...stillTaken];
}

function unclaim(app: string, domains: readonly string[], keys: Keys): Command[] {
  return domains.map((domain) => ['fcUnclaim', keys.domain(domain), app]);
}

function* batches<T>(items: readonly T[]): Iterable<readonly T[]> {
  for (let from = 0; from < items.length; from += batch) yield items.slice(from, from + batch);
}
