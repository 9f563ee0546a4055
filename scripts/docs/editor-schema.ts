import type { TSchema } from '../../src/model/schema/typebox.js';
import type { Shape } from '../../src/model/schema/shape.js';

const interpolated = { type: 'string', pattern: '\\$\\{' };
const kept = [
  'type',
  'const',
  'enum',
  'pattern',
  'minimum',
  'maximum',
  'minItems',
  'required',
  'additionalProperties',
  'examples',
];

/** JSON Schema (draft 7) for the completion of editors. Everywhere a `${VAR}` may stand for a scalar. */
export function editorSchema(schema: TSchema, title: string): string {
  const document = { $schema: 'http://json-schema.org/draft-07/schema#', title, ...convert(schema as Shape) };
  return `${JSON.stringify(document, null, 2)}\n`;
}

type Json = Record<string, unknown>;

function convert(shape: Shape): Json {
  const annotations: Json = {
    ...(shape.description ? { description: shape.description } : {}),
    ...(shape.default === undefined ? {} : { default: shape.default }),
  };
  if (shape.anyOf) return { ...annotations, anyOf: shape.anyOf.map(convert) };
  const own = Object.fromEntries(
    kept.flatMap((key) => (shape[key as keyof Shape] === undefined ? [] : [[key, shape[key as keyof Shape]]])),
  );
  // Text of any kind: numbers and flags are fine as it, and so is `${VAR}`.
  if (shape.type === 'string' && /^\^\[\^\\0\][+*]\$$/.test(shape.pattern ?? '')) {
    return {
      ...annotations,
      type: ['string', 'number', 'boolean'],
      ...(shape.examples && { examples: shape.examples }),
    };
  }
  const { properties, patternProperties, items } = shape;
  const whole: Json = {
    ...own,
    ...(properties && { properties: mapValues(properties, convert) }),
    ...(patternProperties && { patternProperties: mapValues(patternProperties, convert) }),
    ...(items && { items: convert(items) }),
  };
  const isScalar = shape.type !== 'object' && shape.type !== 'array';
  return isScalar ? { ...annotations, anyOf: [whole, interpolated] } : { ...annotations, ...whole };
}

function mapValues(record: Readonly<Record<string, Shape>>, change: (value: Shape) => Json): Json {
  return Object.fromEntries(Object.entries(record).map(([key, value]) => [key, change(value)]));
}
