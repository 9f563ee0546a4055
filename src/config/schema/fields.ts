import Type, { type TProperties, type TSchema } from 'typebox';
import { parseDuration } from '../../model/duration.js';
import { parseSize } from '../units.js';

/** What every key of the schema says about itself; the source of docs/configuration.md. */
export interface Docs {
  readonly description: string;
  readonly default?: unknown;
  /** Where the default is found out at run time. */
  readonly defaultText?: string;
  readonly examples: readonly [unknown, ...unknown[]];
}

interface Wording {
  /** Completes "must be …". */
  readonly expects: string;
  /** Values are never shown in messages. */
  readonly secret?: boolean;
}

/** What is wrong with a text, as in "must be …" or "is not …"; undefined where nothing is. */
export type FaultOf = (text: string) => string | undefined;

/** A mapping whose keys are known; an unknown key is an error. */
export function section<Required extends TProperties, Optional extends TProperties>(
  required: Required,
  optional: Optional,
  docs: { readonly description: string; readonly default?: unknown } = { description: '' },
) {
  type Partially = { [Key in keyof Optional]: Type.TOptional<Optional[Key]> };
  const loose = Object.fromEntries(Object.entries(optional).map(([key, schema]) => [key, Type.Optional(schema)]));
  const properties = { ...required, ...(loose as Partially) };
  return Type.Object(properties, { ...docs, additionalProperties: false, expects: 'a mapping of keys to values' });
}

/** A mapping whose keys the operator chooses. */
export function dictionary<Value extends TSchema>(
  key: { readonly pattern: string; readonly expects: string },
  value: Value,
  docs: Docs,
) {
  return Type.Record(Type.String({ pattern: key.pattern }), value, {
    ...docs,
    additionalProperties: false,
    expects: 'a mapping of names to values',
    expectsKey: key.expects,
  });
}

/** Text; a number or a flag written in its place counts as the text that was written. NUL is refused. */
export function text<const D extends Docs>(
  docs: D & Partial<Wording> & { readonly fault?: FaultOf; readonly pattern?: string },
) {
  const { fault, pattern = '^[^\\0]+$', ...rest } = docs;
  const schema = Type.String({ expects: 'text', ...rest, pattern }) as Type.TString & D;
  return fault ? refined(schema, fault) : schema;
}

/** Text as `text`, where the empty one is fine as well. */
export function anyText<const D extends Docs>(docs: D & Partial<Wording>) {
  return text({ pattern: '^[^\\0]*$', ...docs });
}

export function wholeNumber<const D extends Docs>(docs: D & { readonly minimum: number; readonly maximum: number }) {
  const expects = `a whole number from ${docs.minimum} to ${docs.maximum}`;
  return Type.Integer(options({ expects, ...docs })) as Type.TInteger & D;
}

export function number<const D extends Docs>(docs: D & { readonly minimum: number; readonly maximum: number }) {
  const expects = `a number from ${docs.minimum} to ${docs.maximum}`;
  return Type.Number(options({ expects, ...docs })) as Type.TNumber & D;
}

export function flag<const D extends Docs>(docs: D) {
  return Type.Boolean(options({ expects: 'true or false', ...docs })) as Type.TBoolean & D;
}

/** One of a few words. */
export function choice<const Values extends readonly string[], const D extends Docs>(values: Values, docs: D) {
  const expects = values.length > 1 ? `${values.slice(0, -1).join(', ')} or ${values.at(-1)}` : values.join('');
  const schema = { type: 'string', enum: [...values], expects, ...docs };
  return Type.Unsafe<Values[number]>(schema) as Type.TUnsafe<Values[number]> & D;
}

/** A duration with a unit, from `from` to `to`. */
export function duration<const D extends Docs>(docs: D & { readonly from: string; readonly to: string }) {
  const { from, to, ...rest } = docs;
  const range = [parseDuration(from)!, parseDuration(to)!] as const;
  const expects = `a duration from ${from} to ${to} such as ${String(docs.examples[0])}`;
  return ranged(rest as unknown as D, expects, parseDuration, range, '^\\d+(\\.\\d+)?(ms|s|m|h|d)$');
}

/** A size with a unit, from `from` to `to`. */
export function size<const D extends Docs>(docs: D & { readonly from: string; readonly to: string }) {
  const { from, to, ...rest } = docs;
  const range = [parseSize(from)!, parseSize(to)!] as const;
  const expects = `a size from ${from} to ${to} such as ${String(docs.examples[0])}`;
  return ranged(rest as unknown as D, expects, parseSize, range, '^\\d+(\\.\\d+)?[bkmgtBKMGT]$');
}

export function list<Item extends TSchema, const D extends Docs>(
  item: Item,
  docs: D & { readonly minItems?: number; readonly maxItems?: number; readonly expects: string },
) {
  return Type.Array(item, options(docs)) as Type.TArray<Item> & D;
}

/** One of several shapes. */
export function either<Shapes extends TSchema[], const D extends Docs>(
  shapes: [...Shapes],
  docs: D & Partial<Wording>,
) {
  return Type.Union(shapes, options(docs)) as unknown as Type.TUnion<Shapes> & D;
}

/** The word that lifts a bound which has a safe default. */
export const unlimited = 'unlimited';

/** An amount, or `unlimited` written out. */
export function orUnlimited<Amount extends TSchema & Docs>(amount: Amount) {
  const { expects, description, default: byDefault, examples } = amount as Amount & Wording;
  const docs = { expects: `${unlimited}, or ${expects}`, description, default: byDefault, examples };
  const schema: unknown = either([amount, Type.Literal(unlimited)], docs);
  return schema as Type.TUnion<[Amount, Type.TLiteral<typeof unlimited>]> & Pick<Amount, 'default'>;
}

/** One item or a list of them. */
export function oneOrMore<Item extends TSchema, const D extends Docs>(
  item: Item,
  docs: D & { readonly expects: string },
) {
  const items = Type.Array(item, { minItems: 1, expects: docs.expects });
  return Type.Union([item, items], options(docs)) as Type.TUnion<[Item, Type.TArray<Item>]> & D;
}

/** TypeBox takes annotations of any name; its option types want an index signature for them. */
function options(docs: object): Record<string, unknown> {
  return { ...docs };
}

function ranged<const D extends Docs>(
  docs: D,
  expects: string,
  parse: (text: string) => number | undefined,
  [least, most]: readonly [number, number],
  pattern: string,
) {
  const schema = Type.String(options({ ...docs, expects, pattern })) as Type.TString & D;
  return refined(schema, (written) => {
    const amount = parse(written);
    return amount !== undefined && amount >= least && amount <= most ? undefined : `must be ${expects}`;
  });
}

function refined<Schema extends Type.TString>(schema: Schema, fault: FaultOf): Schema {
  const accepts = (written: string): boolean => fault(written) === undefined;
  return Type.Refine(schema as Type.TString, accepts, (written) => fault(written) ?? '') as unknown as Schema;
}
