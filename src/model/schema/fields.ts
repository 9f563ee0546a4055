import { Type, type TProperties, type TSchema } from './typebox.js';
import { parseDuration } from '../duration.js';
import { formatDuration, formatSize, parseSize } from '../units.js';

/** The documentation of a key; the source of docs/configuration.md. */
export interface Docs {
  readonly description: string;
  readonly default?: unknown;
  /** In words, if the default is found at run time. */
  readonly defaultText?: string;
  readonly examples: readonly [unknown, ...unknown[]];
}

/** How the text in a file becomes a value of the program, and how messages show that value. */
export interface Unit<Value = unknown, Suffix extends string = string> {
  /** Ends the name of the key in the program: `idleTtl` becomes `idleTtlMs`. */
  readonly suffix: Suffix;
  /** Of a text that passed the schema. */
  readonly parse: (written: string) => Value;
  readonly show?: (value: Value) => string;
}

interface Wording {
  /** Completes "must be …". */
  readonly expects: string;
  /** Values are never shown in messages. */
  readonly secret?: boolean;
}

/** What is wrong with a text, as in "must be …" or "is not …"; undefined if nothing is. */
export type FaultOf = (text: string) => string | undefined;

/** A mapping whose keys are known; an unknown key is an error. */
export function section<
  Required extends TProperties,
  Optional extends TProperties,
  const D extends { readonly description?: string } = {},
>(required: Required, optional: Optional, docs?: D) {
  type Partially = { [Key in keyof Optional]: Type.TOptional<Optional[Key]> };
  const loose = Object.fromEntries(Object.entries(optional).map(([key, schema]) => [key, Type.Optional(schema)]));
  const properties = { ...required, ...(loose as Partially) };
  const expects = 'a mapping of keys to values';
  return Type.Object(properties, options({ ...docs, additionalProperties: false, expects })) as Type.TObject<
    Required & Partially
  > &
    D;
}

/** A mapping whose keys the operator chooses. */
export function dictionary<Value extends TSchema, const D extends Docs>(
  key: { readonly pattern: string; readonly expects: string },
  value: Value,
  docs: D,
) {
  const expects = 'a mapping of names to values';
  const all = { ...docs, additionalProperties: false, expects, expectsKey: key.expects };
  return Type.Record(Type.String({ pattern: key.pattern }), value, options(all)) as Type.TRecord<string, Value> & D;
}

/** Text; a number or a flag written in its place counts as the text that was written. NUL is refused. */
export function text<const D extends Docs>(
  docs: D & Partial<Wording> & { readonly fault?: FaultOf; readonly pattern?: string },
) {
  const { fault, pattern = '^[^\\0]+$', ...rest } = docs;
  const schema = Type.String({ expects: 'text', ...rest, pattern }) as Type.TString & D;
  return fault ? refined(schema, fault) : schema;
}

/** The value that a text stands for, or what is wrong with it, as in "must be …". */
export type Parsing<Value> =
  | { readonly value: Value; readonly fault?: undefined }
  | { readonly value?: undefined; readonly fault: string };

/** Text that stands for something else. */
export function parsedText<Value, const D extends Docs>(
  read: (written: string) => Parsing<Value>,
  docs: D & Partial<Wording>,
) {
  const unit: Unit<Value, ''> = { suffix: '', parse: (written) => read(written).value as Value };
  return text({ ...docs, unit, fault: (written) => read(written).fault }) as Type.TString &
    D & { readonly unit: Unit<Value, ''> };
}

/** As `text`, but may be empty. */
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
export function duration<const D extends Docs>(docs: D & Range) {
  const pattern = '^\\d+(\\.\\d+)?(ms|s|m|h|d)$';
  return amount(docs, 'a duration', pattern, parseDuration, { suffix: 'Ms', show: formatDuration } as const);
}

/** A size with a unit, from `from` to `to`. */
export function size<const D extends Docs>(docs: D & Range) {
  const pattern = '^\\d+(\\.\\d+)?[bkmgtBKMGT]$';
  return amount(docs, 'a size', pattern, parseSize, { suffix: 'Bytes', show: formatSize } as const);
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

/** The word that lifts a bound. */
export const unlimited = 'unlimited';

/** An amount, or `unlimited`, which is an absent amount in the program. */
export function orUnlimited<Amount extends TSchema & Docs>(bounded: Amount) {
  const { expects, description, default: byDefault, examples } = bounded as Amount & Wording;
  const docs = { expects: `${unlimited}, or ${expects}`, description, default: byDefault, examples, bounded };
  const schema: unknown = either([bounded, Type.Literal(unlimited)], docs);
  return schema as Type.TUnion<[Amount, Type.TLiteral<typeof unlimited>]> & { readonly bounded: Amount };
}

/** One item or a list of them; in the program a list. */
export function oneOrMore<Item extends TSchema, const D extends Docs>(
  item: Item,
  docs: D & { readonly expects: string },
) {
  const items = Type.Array(item, { minItems: 1, expects: docs.expects });
  const schema: unknown = Type.Union([item, items], options({ ...docs, each: item }));
  return schema as Type.TUnion<[Item, Type.TArray<Item>]> & D & { readonly each: Item };
}

/** TypeBox takes annotations of any name, but its option types need an index signature for them. */
function options(docs: object): Record<string, unknown> {
  return { ...docs };
}

interface Range {
  readonly from: string;
  readonly to: string;
}

function amount<const D extends Docs, Suffix extends string>(
  docs: D & Range,
  kind: string,
  pattern: string,
  parse: (written: string) => number | undefined,
  unit: Omit<Unit<number, Suffix>, 'parse'>,
) {
  const { from, to, ...rest } = docs;
  const [least, most] = [parse(from)!, parse(to)!];
  const expects = `${kind} from ${from} to ${to} such as ${String(docs.examples[0])}`;
  const whole = { ...unit, parse: parse as Unit<number, Suffix>['parse'] };
  const schema = Type.String(options({ ...rest, expects, pattern, unit: whole }));
  return refined(schema as Type.TString & D & { readonly unit: Unit<number, Suffix> }, (written) => {
    const given = parse(written);
    return given !== undefined && given >= least && given <= most ? undefined : `must be ${expects}`;
  });
}

function refined<Schema extends Type.TString>(schema: Schema, fault: FaultOf): Schema {
  const accepts = (written: string): boolean => fault(written) === undefined;
  return Type.Refine(schema as Type.TString, accepts, (written) => fault(written) ?? '') as unknown as Schema;
}
