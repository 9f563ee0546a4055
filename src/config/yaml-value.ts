import { type Document, isMap, isScalar, isSeq, type Node, type Scalar, type YAMLMap } from '../libraries/yaml.js';
import type { Report } from './explain.js';
import type { Interpolate } from './interpolate.js';
import type { Path } from './path.js';
import { alternatives, childOf, mappingFor, type Shape } from '../model/schema/shape.js';

/** Deeper nesting is not a configuration, but the wrong file. */
const mostLevels = 32;

interface Reading {
  readonly interpolate: Interpolate;
  readonly report: Report;
}

/**
 * The plain value of a parsed document. The schema decides only how scalars are read: text keeps its spelling (`1.10`), and an
 * interpolated scalar may become a number or a flag. Faults are reported.
 */
export function yamlValue(document: Document, shape: Shape, interpolate: Interpolate, report: Report): unknown {
  const reading = { interpolate, report };
  try {
    return read(document.contents as Node | null, shape, [], reading);
  } catch (error) {
    if (!(error instanceof TooMuch)) throw error;
    report(error.path, error.message);
    return undefined;
  }
}

class TooMuch extends Error {
  readonly path: Path;
  constructor(path: Path, message: string) {
    super(message);
    this.path = path;
  }
}

function read(node: Node | null | undefined, shape: Shape | undefined, path: Path, reading: Reading): unknown {
  if (path.length > mostLevels) throw new TooMuch(path.slice(0, 3), `is nested deeper than ${mostLevels} levels`);
  if (isMap(node)) return readMap(node, shape, path, reading);
  if (isSeq(node)) {
    const items = shape && alternatives(shape, 'list')[0]?.items;
    return node.items.map((item, index) => read(item as Node, items, [...path, index], reading));
  }
  return isScalar(node) ? readScalar(node, shape, path, reading) : null;
}

function readMap(node: YAMLMap, shape: Shape | undefined, path: Path, reading: Reading): Record<string, unknown> {
  const pairs = node.items.flatMap(({ key, value }) => {
    if (isScalar(key)) return [{ key: key.source ?? String(key.value), value: value as Node | null }];
    reading.report(path, 'has a key that is not text');
    return [];
  });
  const mapping =
    shape &&
    mappingFor(
      shape,
      pairs.map(({ key }) => key),
    );
  const entries = pairs.map(({ key, value }) => {
    const child = childOf(mapping, key);
    return [key, read(value, child, [...path, key], reading), child] as const;
  });
  // A section with all its lines commented out counts as absent.
  const written = entries.filter(([, value, child]) => !(value === null && child?.type === 'object'));
  return Object.fromEntries(written);
}

function readScalar(node: Scalar, shape: Shape | undefined, path: Path, reading: Reading): unknown {
  const types = (shape ? alternatives(shape, 'scalar') : []).map(({ type }) => type);
  if (typeof node.value !== 'string') {
    return node.value !== null && types.length > 0 && types.every((type) => type === 'string')
      ? node.source
      : node.value;
  }
  const { text, changed, faults } = reading.interpolate(node.value);
  for (const fault of faults) reading.report(path, fault);
  if (!changed) return text;
  const wanted = (...names: string[]) => types.some((type) => names.includes(type ?? ''));
  if (wanted('integer', 'number') && /^-?\d+(\.\d+)?$/.test(text)) return Number(text);
  if (wanted('boolean') && /^(true|false)$/.test(text)) return text === 'true';
  return text;
}
