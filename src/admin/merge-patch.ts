import { isMapping } from '../model/schema/shape.js';

/** The document with a merge patch applied; shares with both what it does not change. Source: RFC 7396. `patch` is not deep (json-text.ts). */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isMapping(patch)) return patch;
  const result = new Map(isMapping(target) ? Object.entries(target) : []);
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) result.delete(key);
    else result.set(key, mergePatch(result.get(key), value));
  }
  return Object.fromEntries(result);
}
