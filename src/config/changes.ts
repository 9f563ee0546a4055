import type { App } from '../model/app.js';
import type { Config, Settings } from './config.js';
import { unlimited } from './schema/fields.js';
import { formatDuration, formatSize } from './units.js';

/**
 * What an operator should know of a reload, a line each: `app hello: idleTtl 20m -> 5m`, `app shop added`,
 * `listen.http changed: needs a restart`. Empty where the files say the same. Values that may be secret are not shown.
 */
export function describeChanges(before: Config, after: Config): string[] {
  const held = without(after.heldApps, before.heldApps);
  const free = without(before.heldApps, after.heldApps);
  return [
    ...appChanges(before.apps, after.apps),
    ...held.map((name) => `app ${name} held: its file is wrong, what it said last stays`),
    ...free.map((name) => `app ${name} no longer held: its file says what holds`),
    ...settingChanges(before, after),
  ];
}

function appChanges(before: readonly App[], after: readonly App[]): string[] {
  const old = new Map(before.map((app) => [app.name, app]));
  const kept = new Set(after.map(({ name }) => name));
  return [
    ...after.flatMap((app) => {
      const was = old.get(app.name);
      return was ? changesOfApp(was, app) : [`app ${app.name} added`];
    }),
    ...before.filter(({ name }) => !kept.has(name)).map(({ name }) => `app ${name} removed`),
  ];
}

function changesOfApp(before: App, after: App): string[] {
  if (before === after || JSON.stringify(before) === JSON.stringify(after)) return [];
  const say = (text: string) => `app ${after.name}: ${text}`;
  const [added, removed] = [without(after.domains, before.domains), without(before.domains, after.domains)];
  return [
    ...added.map((domain) => say(`domain ${domain} added`)),
    ...removed.map((domain) => say(`domain ${domain} removed`)),
    ...shownChanges(atOnce(before), atOnce(after)).map(say),
    ...shownChanges(atBoot(before), atBoot(after)).map((text) => say(`${text} (from the next boot)`)),
    ...hiddenChanges(before, after).map((key) => say(`${key} changed (from the next boot)`)),
  ];
}

type Figures = Readonly<Record<string, string | undefined>>;

/** What takes effect on running instances. */
function atOnce(app: App): Figures {
  return {
    readiness: 'http' in app.readiness ? app.readiness.http : 'tcp',
    'scale.min': String(app.scale.min),
    'scale.max': String(app.scale.max),
    'concurrency.target': String(app.concurrency.target),
    'concurrency.max': String(app.concurrency.max),
    'queue.max': String(app.queue.max),
    'queue.timeout': formatDuration(app.queue.timeoutMs),
    idleTtl: formatDuration(app.idleTtlMs),
    maxLifetime: formatDuration(app.maxLifetimeMs),
    bootTimeout: formatDuration(app.bootTimeoutMs),
    drainTimeout: formatDuration(app.drainTimeoutMs),
    stopTimeout: formatDuration(app.stopTimeoutMs),
    requestTimeout: formatDuration(app.requestTimeoutMs),
    maxRequestBody: formatSize(app.maxRequestBodyBytes),
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

function settingChanges(before: Settings, after: Settings): string[] {
  const [old, now] = [settingsOf(before), settingsOf(after)];
  const changed = [...new Set([...old.keys(), ...now.keys()])].filter((key) => old.get(key) !== now.get(key));
  const level = before.log.level === after.log.level ? [] : [`log.level ${before.log.level} -> ${after.log.level}`];
  return [...changed.map((key) => `${key} changed: needs a restart`), ...level];
}

/** Settings by the names they have in the file. */
function settingsOf(settings: Settings): Map<string, string> {
  const { listen, admin, cmdb, node, runtimes, http, boot, memory, mounts, workers, stateDir, trustedProxies } =
    settings;
  const sections = Object.entries({ listen, admin, cmdb, node, runtimes, http, boot, memory, mounts }).flatMap(
    ([section, keys]) =>
      Object.entries(keys).map(([key, value]) => [`${section}.${key.replace(/(Ms|Bytes)$/, '')}`, value] as const),
  );
  const all = [...sections, ...Object.entries({ workers, stateDir, trustedProxies })];
  return new Map(all.map(([key, value]) => [key, JSON.stringify(value)]));
}

function without(list: readonly string[], others: readonly string[]): string[] {
  const known = new Set(others);
  return list.filter((item) => !known.has(item));
}
