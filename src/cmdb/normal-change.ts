import type { App } from '../model/app.js';
import type { AppChange } from './cmdb.js';

/** A change without repetitions: of two entries of one name the later one counts, and one that is put is not removed. */
export function normalChange({ put, remove }: AppChange): {
  readonly put: readonly App[];
  readonly remove: readonly string[];
} {
  const apps = new Map(put.map((app) => [app.name, app]));
  return { put: [...apps.values()], remove: [...new Set(remove)].filter((name) => !apps.has(name)) };
}
