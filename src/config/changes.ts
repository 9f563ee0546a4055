import { setImmediate as turn } from 'node:timers/promises';
import { inTurns } from '../machine/batches.js';
import type { App } from '../model/app.js';
import { appSchema } from '../model/app-keys.js';
import { unlimited } from '../model/schema/fields.js';
import { nameOf } from '../model/schema/parsed.js';
import type { Shape } from '../model/schema/shape.js';
import type { Config } from './config.js';
import { shorten } from './path.js';
import { cmdbSchema, mainSchema } from './schema/main-file.js';

type Values = Readonly<Record<string, unknown>>;

/**
 * What a reload changes, a line each: `app hello: idleTtl 20m -> 5m`, `app shop added`,
 * `listen.http changed: needs a restart`. Empty if the files say the same. Values that may be secret are not shown.
 */
export async function describeChanges(before: Config, after: Config): Promise<string[]> {
  const held = without(after.heldApps, before.heldApps);
  const free = without(before.heldApps, after.heldApps);
  return [
    ...(await appChanges(before.apps, after.apps)),
    ...held.map((name) => `app ${name} held: its file is wrong, what it said last stays`),
    ...free.map((name) => `app ${name} no longer held: its file is valid again`),
    ...settingChanges(before, after),
  ];
}

/** Apps compared in one turn of the event loop. */
const appsInTurn = 50;

async function appChanges(before: readonly App[], after: readonly App[]): Promise<string[]> {
  const [fresh, gone] = [await missing(after, before), await missing(before, after)];
  const old = new Map(gone.map((app) => [app.name, app]));
  const changes: string[] = [];
  for await (const some of inTurns(fresh, appsInTurn)) {
    for (const app of some) {
      const was = old.get(app.name);
      changes.push(...(was ? changesOfApp(was, app) : [`app ${app.name} added`]));
    }
  }
  for (const { name } of fresh) old.delete(name);
  return [...changes, ...[...old.keys()].map((name) => `app ${name} removed`)];
}

/** Those of a list that another lacks. There may be thousands: requests are served before and after. */
async function missing(apps: readonly App[], others: readonly App[]): Promise<App[]> {
  const known = new Set(others);
  const found = apps.filter((app) => !known.has(app));
  await turn();
  return found;
}

/** Changes that reach running instances come before those that need a new container. */
export function changesOfApp(before: App, after: App): string[] {
  const keys = Object.entries(appSchema.properties as Readonly<Record<string, Shape>>);
  const byEffect = keys.toSorted(([, a], [, b]) => Number(a.container ?? false) - Number(b.container ?? false));
  const told = byEffect.flatMap(([key, shape]) => {
    const name = nameOf(key, shape) as keyof App;
    const lines = key === 'domains' ? domainChanges(before, after) : differences(shape, key, before[name], after[name]);
    return shape.container ? lines.map((line) => `${line} (in new containers)`) : lines;
  });
  return told.map((line) => `app ${after.name}: ${line}`);
}

function domainChanges(before: App, after: App): string[] {
  const [added, removed] = [without(after.domains, before.domains), without(before.domains, after.domains)];
  if (added.length === 0 && removed.length === 0 && !isSame(before.domains, after.domains))
    return ['domains in another order'];
  return [...added.map((domain) => `domain ${domain} added`), ...removed.map((domain) => `domain ${domain} removed`)];
}

/** A line for each key below `path` that differs. Lists are long and may hold secrets: of them only that they changed. */
function differences(shape: Shape, path: string, before: unknown, after: unknown): string[] {
  if (isSame(before, after)) return [];
  const [old, now] = [(before ?? {}) as Values, (after ?? {}) as Values];
  const [entry] = Object.values(shape.patternProperties ?? {});
  const keys = entry ? Object.keys({ ...old, ...now }).map((key) => [key, entry] as const) : undefined;
  const children = keys ?? (shape.properties && Object.entries(shape.properties));
  if (children)
    return children.flatMap(([key, child]) => {
      const name = nameOf(key, child);
      return differences(child, `${path}.${key}`, old[name], now[name]);
    });
  if (shape.secret || shape.items) return [`${path} changed`];
  return [`${path} ${show(shape, before)} -> ${show(shape, after)}`];
}

function show(shape: Shape, value: unknown): string {
  if (value === undefined) return shape.bounded ? unlimited : 'unset';
  const { unit } = shape.bounded ?? shape;
  if (unit?.show) return unit.show(value);
  // One of several shapes, such as { tcp: true } or { http: / }.
  const [only] = typeof value === 'object' && value !== null ? Object.entries(value) : [];
  return shorten(only ? String(only[1] === true ? only[0] : only[1]) : String(value));
}

function isSame(before: unknown, after: unknown): boolean {
  return JSON.stringify(before) === JSON.stringify(after);
}

/** Sections of the main file that are taken over without a restart, or that apps are made of. */
const takenOver = ['apps', 'defaults', 'plans', 'maxRemovals', 'log'];

function settingChanges(before: Config, after: Config): string[] {
  const [old, now] = [before, after] as unknown as readonly [Values, Values];
  const { maxRemovals, log } = mainSchema.properties;
  const sections = Object.entries({ ...mainSchema.properties, cmdb: cmdbSchema } as Readonly<Record<string, Shape>>);
  const changed = sections.flatMap(([section, { properties }]): string[] => {
    if (takenOver.includes(section) || isSame(old[section], now[section])) return [];
    if (!properties) return [section];
    // A section that is absent has no keys.
    const keysOf = (values: Values) => (values[section] ?? {}) as Values;
    const [oldKeys, nowKeys] = [keysOf(old), keysOf(now)];
    const names = Object.entries(properties).map(([key, child]) => ({ key, name: nameOf(key, child) }));
    return names
      .filter(({ name }) => !isSame(oldKeys[name], nowKeys[name]))
      .map(({ key }) => `${section}.${key}`)
      .filter((path) => path !== 'admin.tokens');
  });
  return [
    ...changed.map((key) => `${key} changed: needs a restart`),
    ...(isSame(before.admin.tokens, after.admin.tokens) ? [] : ['admin.tokens changed']),
    ...differences(maxRemovals as Shape, 'maxRemovals', before.maxRemovals, after.maxRemovals),
    ...differences(log as Shape, 'log', before.log, after.log),
  ];
}

function without(list: readonly string[], others: readonly string[]): string[] {
  const known = new Set(others);
  return list.filter((item) => !known.has(item));
}
