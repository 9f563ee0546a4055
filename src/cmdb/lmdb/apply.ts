import { setImmediate as yieldToOthers } from 'node:timers/promises';
import type { App } from '../../model/app.js';
import { nextDueAt } from '../../model/schedule.js';
import { resolveClaims } from '../claims.js';
import { recordToPut, staysAs } from '../app-origin.js';
import type { AppChange, Change, DomainConflict } from '../cmdb.js';
import { holdsApp } from '../record-format.js';
import { tombstone } from '../tombstone.js';
import type { Records } from './records.js';
import type { Schedule } from './schedule.js';

export interface ApplyContext {
  readonly records: Records;
  readonly schedule: Schedule;
  readonly origins: NonNullable<AppChange['origins']>;
  readonly append: (change: Change) => void;
  readonly read: <T>(run: () => T) => T;
  readonly write: <T>(run: () => T) => Promise<T>;
}

/** Apps looked at, or written in one transaction, before anybody else has a turn. */
const batch = 500;

/** See Cmdb.apply. Apps that exchange domains are written in one transaction, however many they are. */
export async function applyApps(
  put: readonly App[],
  remove: readonly string[],
  context: ApplyContext,
): Promise<DomainConflict[]> {
  const { read, write, records } = context;
  const changed: App[] = [];
  for (const apps of batches(put)) {
    changed.push(...read(() => apps.filter((app) => !isCurrent(app, context))));
    if (put.length > batch) await yieldToOthers();
  }
  const gone = read(() => remove.filter((name) => isThere(name, records)));
  const { exchanging, others } = read(() => split(changed, records));
  const conflicts: DomainConflict[] = [];
  // Removed first: what they give up may be wanted by the others.
  for (const names of batches(gone.slice(batch))) await write(() => removeAll(names, context));
  for (const [index, apps] of [exchanging, ...batches(others)].entries()) {
    const names = index === 0 ? gone.slice(0, batch) : [];
    if (apps.length + names.length === 0) continue;
    conflicts.push(
      ...(await write(() => {
        removeAll(names, context);
        return putAll(apps, context);
      })),
    );
  }
  return conflicts;
}

function isCurrent(app: App, { records, origins }: ApplyContext): boolean {
  const text = records.appText(app.name);
  if (!staysAs(app, text, origins.get(app.name), () => records.app(app.name))) return false;
  return !holdsApp(text, app) || app.domains.every((domain) => records.claimant(domain) === app.name);
}

function isThere(name: string, records: Records): boolean {
  return records.appText(name) !== undefined || records.deployment(name).version !== '';
}

/** A change that fits one transaction is not split. */
function split(changed: readonly App[], records: Records): { exchanging: readonly App[]; others: readonly App[] } {
  if (changed.length <= batch) return { exchanging: changed, others: [] };
  const names = new Set(changed.map(({ name }) => name));
  const exchanging = new Set<string>();
  for (const { name, domains } of changed) {
    for (const domain of domains) {
      const owner = records.claimant(domain);
      if (owner === undefined || owner === name || !names.has(owner)) continue;
      exchanging.add(name).add(owner);
    }
  }
  const isExchanging = ({ name }: App) => exchanging.has(name);
  return { exchanging: changed.filter(isExchanging), others: changed.filter((app) => !isExchanging(app)) };
}

function putAll(apps: readonly App[], context: ApplyContext): readonly DomainConflict[] {
  const { records, schedule, origins, append } = context;
  const had = (name: string) => {
    const stored = records.app(name);
    return stored && !stored.removed ? stored.app.domains : [];
  };
  const changed = apps.filter((app) => !isCurrent(app, context));
  const { accepted, conflicts } = resolveClaims(changed, {
    ownerOf: (domain) => records.owner(domain)?.app.name,
    domainsOf: (name) => had(name).filter((domain) => records.claimant(domain) === name),
  });
  for (const { name } of accepted) for (const domain of had(name)) records.unclaim(domain, name);
  for (const app of accepted) {
    for (const domain of app.domains) records.claim(domain, app.name);
    const { name } = app;
    records.putApp(name, recordToPut(app, records.appText(name), records.app(name), origins.get(name)));
    schedule.set(app.name, nextDueAt(records.deployment(app.name).deployment, app));
    append({ app: app.name });
  }
  return conflicts;
}

/** One that cannot be read goes as well: its claims lead nowhere, and what runs of it drains under a record that says so. */
function removeAll(names: readonly string[], { records, schedule, append }: ApplyContext): void {
  for (const name of names) {
    const stored = records.app(name);
    const { deployment } = records.deployment(name);
    for (const domain of stored?.app.domains ?? []) records.unclaim(domain, name);
    if (deployment.instances.length === 0) {
      records.drop(name);
      schedule.set(name, undefined);
    } else if (stored?.removed) {
      continue;
    } else {
      records.putApp(name, stored ? { app: stored.app, removed: true } : tombstone(name, deployment));
      schedule.set(name, 0);
    }
    append({ app: name });
  }
}

function* batches<T>(items: readonly T[]): Iterable<readonly T[]> {
  for (let from = 0; from < items.length; from += batch) yield items.slice(from, from + batch);
}
