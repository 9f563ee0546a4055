import { inTurns } from '../machine/batches.js';
import type { App } from '../model/app.js';
import { appSchema } from '../model/app-keys.js';
import { unlimited } from '../model/schema/fields.js';
import { nameOf } from '../model/schema/parsed.js';
import type { Shape } from '../model/schema/shape.js';
import type { Config } from './config.js';

/**
 * What an operator should know of a reload, a line each: `app hello: idleTtl 20m -> 5m`, `app shop added`,
 * `listen.http changed: needs a restart`. Empty where the files say the same. Values that may be secret are not shown.
 */
export async function describeChanges(before: Config, after: Config): Promise<string[]> {
  const held = without(after.heldApps, before.heldApps);
  const free = without(before.heldApps, after.heldApps);
  return [
    ...(await appChanges(before.apps, after.apps)),
    ...held.map((name) => `app ${name} held: its file is wrong, what it said last stays`),
    ...free.map((name) => `app ${name} no longer held: its file says what holds`),
    ...settingChanges(before, after),
  ];
}

/** Apps compared before anything else has a turn. */
const appsInTurn = 50;

async function appChanges(before: readonly App[], after: readonly App[]): Promise<string[]> {
  const [known, kept] = [new Set(before), new Set(after)];
  const old = new Map(before.filter((app) => !kept.has(app)).map((app) => [app.name, app]));
  const changes: string[] = [];
  const fresh = after.filter((app) => !known.has(app));
  for await (const some of inTurns(fresh, appsInTurn)) {
    for (const app of some) {
      const was = old.get(app.name);
      changes.push(...(was ? changesOfApp(was, app) : [`app ${app.name} added`]));
    }
  }
  for (const { name } of fresh) old.delete(name);
  return [...changes, ...[...old.keys()].map((name) => `app ${name} removed`)];
}

/** What takes effect on running instances comes before what needs a new container. */
function changesOfApp(before: App, after: App): string[] {
  const keys = Object.entries(appSchema.properties as Readonly<Record<string, Shape>>);
  const byEffect = keys.toSorted(([, a], [, b]) => Number(a.container ?? false) - Number(b.container ?? false));
  const told = byEffect.flatMap(([key, shape]) => {
    const name = nameOf(key, shape) as keyof App;
    const lines = key === 'domains' ? domainChanges(before, after) : differences(shape, key, before[name], after[name]);
    return shape.container ? lines.map((line) => `${line} (from the next boot)`) : lines;
  });
  return told.map((line) => `app ${after.name}: ${line}`);
}

function domainChanges(before: App, after: App): string[] {
  const [added, removed] = [without(after.domains, before.domains), without(before.domains, after.domains)];
  if (added.length === 0 && removed.length === 0 && !isSame(before.domains, after.domains))
    return ['domains in another order'];
  return [...added.map((domain) => `domain ${domain} added`), ...removed.map((domain) => `domain ${domain} removed`)];
}

/** A line for each key below `path` that differs. Lists are long and may hold secrets: only that they changed is said. */
function differences(shape: Shape, path: string, before: unknown, after: unknown): string[] {
  if (isSame(before, after)) return [];
  const [old, now] = [before ?? {}, after ?? {}] as Readonly<Record<string, unknown>>[];
  if (shape.properties)
    return Object.entries(shape.properties).flatMap(([key, child]) => {
      const name = nameOf(key, child);
      return differences(child, `${path}.${key}`, old?.[name], now?.[name]);
    });
  const [value] = Object.values(shape.patternProperties ?? {});
  if (value)
    return [...new Set([...Object.keys(old ?? {}), ...Object.keys(now ?? {})])].flatMap((key) =>
      differences(value, `${path}.${key}`, old?.[key], now?.[key]),
    );
  if (shape.secret || shape.items) return [`${path} changed`];
  return [`${path} ${show(shape, before)} -> ${show(shape, after)}`];
}

function show(shape: Shape, value: unknown): string {
  if (value === undefined) return shape.bounded ? unlimited : 'unset';
  const { unit } = shape.bounded ?? shape;
  if (unit?.show) return unit.show(value);
  // One of several shapes, such as { tcp: true } or { http: / }.
  const [only] = typeof value === 'object' && value !== null ? Object.entries(value) : [];
  return only ? String(only[1] === true ? only[0] : only[1]) : String(value);
}

function isSame(before: unknown, after: unknown): boolean {
  return JSON.stringify(before) === JSON.stringify(after);
}

function settingChanges(before: Config, after: Config): string[] {
  const [old, now] = [settingsOf(before), settingsOf(after)];
  const changed = [...new Set([...old.keys(), ...now.keys()])].filter((key) => old.get(key) !== now.get(key));
  const most = [before, after].map(({ maxRemovals }) => maxRemovals ?? 'unset');
  const level = before.log.level === after.log.level ? [] : [`log.level ${before.log.level} -> ${after.log.level}`];
  const removals = most[0] === most[1] ? [] : [`maxRemovals ${most.join(' -> ')}`];
  return [...changed.map((key) => `${key} changed: needs a restart`), ...removals, ...level];
}

/** What needs a restart: all settings but those that are taken over, by the names they have in the file. */
function settingsOf(config: Config): Map<string, string> {
  const {
    file: _f,
    apps: _a,
    appFiles: _n,
    customerApps: _c,
    heldApps: _h,
    problems: _p,
    notices: _o,
    places: _l,
    ...settings
  } = config;
  const { log: _log, maxRemovals: _max, ...all } = settings;
  const isSection = (value: unknown) => typeof value === 'object' && !Array.isArray(value);
  const sections = Object.entries(all).filter(([, value]) => isSection(value));
  const single = Object.entries(all).filter(([, value]) => !isSection(value));
  const keys = sections.flatMap(([section, inner]) =>
    Object.entries(inner).map(([key, value]) => [`${section}.${key.replace(/(Ms|Bytes)$/, '')}`, value] as const),
  );
  return new Map([...keys, ...single].map(([key, value]) => [key, JSON.stringify(value)]));
}

function without(list: readonly string[], others: readonly string[]): string[] {
  const known = new Set(others);
  return list.filter((item) => !known.has(item));
}
