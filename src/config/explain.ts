import { Check, Errors } from '../model/schema/typebox.js';
import { adviceFor } from './foreign-keys.js';
import { nearest } from './nearest.js';
import { type Path, shorten } from './path.js';
import { alternatives, childOf, isMapping, mappingFor, type Shape } from '../model/schema/shape.js';

export type Report = (path: Path, message: string) => void;

/**
 * Reports in plain words everything in `value` that does not fit the schema; `quotes` allows messages to show values. Slow: call
 * it only for a value that failed its check.
 */
export function explain(shape: Shape, value: unknown, path: Path, report: Report, quotes = true): void {
  if (Array.isArray(value)) explainList(shape, value, path, report, quotes);
  else if (isMapping(value)) explainMapping(shape, value, path, report, quotes);
  else explainScalar(shape, value, path, report, quotes);
}

function explainMapping(
  shape: Shape,
  value: Record<string, unknown>,
  path: Path,
  report: Report,
  quotes: boolean,
): void {
  const keys = Object.keys(value);
  const mapping = mappingFor(shape, keys);
  if (!mapping) return report(path, mismatch(shape, value));
  for (const key of keys) {
    const child = childOf(mapping, key);
    if (child) explain(child, value[key], [...path, key], report, quotes);
    else report([...path, key], unknownKey(mapping, key));
  }
  for (const key of mapping.required ?? []) {
    if (!Object.hasOwn(value, key)) report([...path, key], 'is required');
  }
}

function explainList(shape: Shape, value: readonly unknown[], path: Path, report: Report, quotes: boolean): void {
  const [listing] = alternatives(shape, 'list');
  if (!listing?.items) return report(path, mismatch(shape, value));
  const { minItems = 0, maxItems = Infinity } = listing as { minItems?: number; maxItems?: number };
  if (value.length < minItems) return report(path, mismatch(shape, value));
  if (value.length > maxItems) return report(path, `must not have more than ${maxItems} entries, got ${value.length}`);
  value.forEach((item, index) => explain(listing.items!, item, [...path, index], report, quotes));
}

function explainScalar(shape: Shape, value: unknown, path: Path, report: Report, quotes: boolean): void {
  if (Check(shape, value)) return;
  const options = alternatives(shape, 'scalar');
  const only = options.length === 1 && typeof value === 'string' ? options[0]! : shape;
  const refinement = Errors(only, value).find(({ keyword }) => keyword === '~refine');
  // With several alternatives, the fault of a single one says too little.
  const fault = only === shape && options.length > 1 ? undefined : refinement?.message;
  report(path, mismatch(only, value, shape.secret === true || !quotes, fault));
}

function mismatch(
  shape: Shape,
  value: unknown,
  secret = false,
  fault = `must be ${shape.expects ?? 'something else'}`,
): string {
  const hidden = (secret || shape.secret === true) && typeof value === 'string';
  return `${fault}, got ${hidden ? 'another value (not shown)' : show(value)}`;
}

function unknownKey(mapping: Shape, key: string): string {
  if (mapping.expectsKey !== undefined) return `the name must be ${mapping.expectsKey}`;
  const known = Object.keys(mapping.properties ?? {});
  const advice = adviceFor(key, known);
  if (advice !== undefined) return `unknown key; ${advice}`;
  const meant = nearest(key, known);
  if (meant !== undefined) return `unknown key; did you mean ${meant}?`;
  return known.length > 10
    ? 'unknown key; docs/configuration.md has them all'
    : `unknown key; known here: ${known.join(', ')}`;
}

function show(value: unknown): string {
  if (value === null || value === undefined) return 'nothing';
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  if (isMapping(value)) return 'a mapping';
  if (typeof value !== 'string') return String(value);
  return JSON.stringify(shorten(value));
}
