import type { Config } from './config.js';
import type { Reading } from './reading.js';

/** The configuration of a reading. Of a held app, what `before` had of it stays; without it, what the store has stays. */
export function assemble(reading: Omit<Reading, 'changed' | 'removed'>, file: string, before?: Config): Config {
  const { settings, apps, held, problems, notices, places } = reading;
  const names = new Set(held.map(({ name }) => name));
  const kept = names.size === 0 ? [] : (before?.apps ?? []).filter(({ name }) => names.has(name));
  return {
    ...settings,
    file,
    apps: [...apps.map(({ app }) => app), ...kept],
    appFiles: Object.fromEntries([
      ...apps.map((it) => [it.app.name, it.file]),
      ...held.map((it) => [it.name, it.file]),
    ]),
    customerApps: apps.filter(({ byCustomer }) => byCustomer).map(({ app }) => app.name),
    heldApps: [...names],
    problems,
    notices,
    places,
  };
}
