import type { Config } from './config.js';
import type { Reading } from './reading.js';

/** The configuration that a reading makes. Held apps are taken from `before`; without it, the store keeps what it has. */
export function assemble(reading: Omit<Reading, 'changed' | 'removed'>, file: string, before?: Config): Config {
  const { settings, apps, held, problems, notices, places } = reading;
  const names = new Set(held.map(({ name }) => name));
  const kept = names.size === 0 ? [] : (before?.apps ?? []).filter(({ name }) => names.has(name));
  const appFiles: Record<string, string> = {};
  for (const it of apps) appFiles[it.app.name] = it.file;
  for (const it of held) appFiles[it.name] = it.file;
  return {
    ...settings,
    file,
    apps: [...apps.map(({ app }) => app), ...kept],
    appFiles,
    customerApps: apps.filter(({ byCustomer }) => byCustomer).map(({ app }) => app.name),
    heldApps: [...names],
    problems,
    notices,
    places,
  };
}
