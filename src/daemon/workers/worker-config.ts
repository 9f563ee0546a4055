import type { Config } from '../../config/config.js';
import type { App } from '../../model/app.js';
import type { FileApp } from '../daemon.js';
import type { Reload } from './messages.js';

/** The configuration of one of `workers` processes: bounds for the whole machine are divided, at least 1 each. */
export function workerConfig(config: Config, workers: number): Config {
  const { http, boot } = config;
  return {
    ...config,
    http: {
      ...http,
      maxConnections: Math.ceil(http.maxConnections / workers),
      maxConnectionsPerClient: Math.ceil(http.maxConnectionsPerClient / workers),
    },
    boot: { ...boot, concurrency: Math.max(1, Math.floor(boot.concurrency / workers)) },
  };
}

/**
 * The configuration of a worker that starts after a reload: the new apps, but the settings of the start. What needs a restart must
 * not hold in one worker and not in the others.
 */
export function afterReload(initial: Config, next: Config): Config {
  const { apps, appFiles, customerApps, heldApps, problems, places, log, maxRemovals, plans, defaults, admin } = next;
  const { maxRemovals: _before, ...kept } = initial;
  const removals = maxRemovals === undefined ? {} : { maxRemovals };
  const tokens = { admin: { ...initial.admin, tokens: admin.tokens } };
  return {
    ...kept,
    ...tokens,
    ...removals,
    apps,
    appFiles,
    customerApps,
    heldApps,
    problems,
    places,
    log,
    plans,
    defaults,
  };
}

/**
 * The reload for workers that all have `taken`; undefined if they may differ. Apps are sent only if one changed in what workers
 * know of it: there may be thousands.
 */
export function reloadOf(taken: Config | undefined, { apps, log: { level } }: Config): Reload {
  const isSame =
    apps.length === taken?.apps.length && apps.every((app, index) => isAlike(app, taken.apps[index] as App));
  return { level, ...(!isSame && { apps: apps.map(fileAppOf) }) };
}

function isAlike(app: App, before: App): boolean {
  return app === before || JSON.stringify(fileAppOf(app)) === JSON.stringify(fileAppOf(before));
}

function fileAppOf({ name, domains, runtime, drainTimeoutMs }: App): FileApp {
  return { name, domains, runtime, drainTimeoutMs };
}
