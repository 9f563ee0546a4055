import { setImmediate as turn } from 'node:timers/promises';
import type { App } from '../model/app.js';
import type { Config } from './config.js';
import { unlimited } from './schema/fields.js';
import { formatDuration, formatSize } from './units.js';

/**
 * What an operator should know of a reload, a line each: `app hello: idleTtl 20m -> 5m`, `app shop added`,
 * `listen.http changed: needs a restart`. Empty where the files say the same. Values that may be secret are not shown. Requests go
 * on while thousands of apps are compared.
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
  const old = new Map(before.map((app) => [app.name, app]));
  await turn();
  const changes: string[] = [];
  let compared = 0;
  for (const app of after) {
    const was = old.get(app.name);
    old.delete(app.name);
    if (was === app) continue;
    changes.push(...(was ? changesOfApp(was, app) : [`app ${app.name} added`]));
    compared += 1;
    if (compared % appsInTurn === 0) await turn();
  }
  return [...changes, ...[...old.keys()].map((name) => `app ${name} removed`)];
}

function changesOfApp(before: App, after: App): string[] {
  if (before === after || JSON.stringify(before) === JSON.stringify(after)) return [];
  const say = (text: string) => `app ${after.name}: ${text}`;
  const [added, removed] = [without(after.domains, before.domains), without(before.domains, after.domains)];
  const told = [
    ...added.map((domain) => `domain ${domain} added`),
    ...removed.map((domain) => `domain ${domain} removed`),
    ...shownChanges(atOnce(before), atOnce(after)),
    ...shownChanges(atBoot(before), atBoot(after)).map((text) => `${text} (from the next boot)`),
    ...hiddenChanges(before, after).map((key) => `${key} changed (from the next boot)`),
  ];
  // Whatever else differs is a change as well, whether this file knows the key or not.
  const others = differingKeys(before, after).filter((key) => !told.some((line) => isOf(line, key)));
  return [...told, ...others.map((key) => (key === 'domains' ? 'domains in another order' : `${key} changed`))].map(
    say,
  );
}

function differingKeys(before: App, after: App): string[] {
  const [old, now] = [new Map(Object.entries(before)), new Map(Object.entries(after))];
  const keys = [...new Set([...old.keys(), ...now.keys()])];
  return keys.filter((key) => JSON.stringify(old.get(key)) !== JSON.stringify(now.get(key)));
}

/** Whether a line tells of a key: `scale.max 1 -> 3` of scale, `idleTtl 5m -> 6m` of idleTtlMs. */
function isOf(line: string, key: string): boolean {
  const name = key.replace(/(Ms|Bytes)$/, '');
  return (
    line.startsWith(`${name} `) || line.startsWith(`${name}.`) || (key === 'domains' && line.startsWith('domain '))
  );
}

type Figures = Readonly<Record<string, string | undefined>>;

/** What takes effect on running instances. */
function atOnce(app: App): Figures {
  return {
    readiness: 'http' in app.readiness ? app.readiness.http : 'tcp',
    overlap: String(app.overlap),
    'scale.min': String(app.scale.min),
    'scale.max': String(app.scale.max),
    'concurrency.target': String(app.concurrency.target),
    'concurrency.max': String(app.concurrency.max),
    'concurrency.clientShare': String(app.concurrency.clientShare),
    'queue.max': String(app.queue.max),
    'queue.timeout': formatDuration(app.queue.timeoutMs),
    idleTtl: formatDuration(app.idleTtlMs),
    maxLifetime: formatDuration(app.maxLifetimeMs),
    bootTimeout: formatDuration(app.bootTimeoutMs),
    drainTimeout: formatDuration(app.drainTimeoutMs),
    stopTimeout: formatDuration(app.stopTimeoutMs),
    requestTimeout: formatDuration(app.requestTimeoutMs),
    maxRequestBody: formatSize(app.maxRequestBodyBytes),
    maxBusy: formatDuration(app.maxBusyMs ?? 0),
    'websocket.quiet': formatDuration(app.websocket?.quietMs ?? 0),
  };
}

/** What needs a new container, as model/app.ts revisionOf has it. */
function atBoot(app: App): Figures {
  const { memoryBytes, cpus, cpuWeight, pids, files } = app.limits;
  return {
    runtime: app.runtime,
    image: app.image,
    port: app.port?.toString(),
    cwd: app.cwd,
    user: app.user,
    readOnly: String(app.readOnly),
    publish: String(app.publish),
    'limits.memory': memoryBytes === undefined ? unlimited : formatSize(memoryBytes),
    'limits.cpus': cpus?.toString() ?? unlimited,
    'limits.cpuWeight': cpuWeight?.toString(),
    'limits.pids': pids?.toString() ?? unlimited,
    'limits.files': files?.toString() ?? unlimited,
  };
}

function shownChanges(before: Figures, after: Figures): string[] {
  return Object.keys(after)
    .filter((key) => before[key] !== after[key])
    .map((key) => `${key} ${before[key] ?? 'unset'} -> ${after[key] ?? 'unset'}`);
}

/** Commands and environments hold secrets, mounts are long: only that they changed is said. */
function hiddenChanges(before: App, after: App): string[] {
  const names = new Set([...Object.keys(before.env), ...Object.keys(after.env)]);
  const differs = (a: unknown, b: unknown) => JSON.stringify(a) !== JSON.stringify(b);
  return [
    ...(differs(before.command, after.command) ? ['command'] : []),
    ...(differs(before.mounts, after.mounts) ? ['mounts'] : []),
    ...[...names].filter((name) => before.env[name] !== after.env[name]).map((name) => `env.${name}`),
  ];
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
