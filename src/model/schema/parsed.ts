import type { Static, TProperties, TSchema } from './typebox.js';
import { unlimited } from './fields.js';
import type { Shape } from './shape.js';

/**
 * A value of the schema as the program has it: with defaults, with texts parsed (`idleTtl: 20m` is `idleTtlMs: 1200000`), and
 * without what is `unlimited`.
 */
export type Parsed<Schema> = Schema extends { readonly unit: { readonly parse: (written: string) => infer Value } }
  ? Value
  : Schema extends { readonly bounded: infer Amount }
    ? Parsed<Amount>
    : Schema extends { readonly properties: infer Properties extends TProperties }
      ? ParsedSection<Properties>
      : Schema extends { readonly each: infer Item } | { readonly type: 'array'; readonly items: infer Item }
        ? readonly Parsed<Item>[]
        : Schema extends TSchema
          ? ReadonlyValue<Static<Schema>>
          : never;

type ReadonlyValue<Value> = Value extends object ? Readonly<Value> : Value;

type ParsedSection<Properties extends TProperties> = Flat<
  {
    readonly [Key in keyof Properties & string as Exclude<NameOf<Key, Properties[Key]>, Lacking<Properties>>]: Parsed<
      Properties[Key]
    >;
  } & {
    readonly [Key in keyof Properties & string as Extract<NameOf<Key, Properties[Key]>, Lacking<Properties>>]?: Parsed<
      Properties[Key]
    >;
  }
>;

/** Names of the keys that may be absent. */
type Lacking<Properties extends TProperties> = {
  [Key in keyof Properties & string]: MayLack<Properties[Key]> extends true ? NameOf<Key, Properties[Key]> : never;
}[keyof Properties & string];

type MayLack<Schema> = Schema extends { readonly bounded: unknown }
  ? true
  : Schema extends { readonly default: {} } | { readonly properties: TProperties } | { readonly needed: true }
    ? false
    : Schema extends { '~optional': true }
      ? true
      : false;

type NameOf<Key extends string, Schema> = Schema extends
  | { readonly unit: { readonly suffix: infer Suffix extends string } }
  | { readonly bounded: { readonly unit: { readonly suffix: infer Suffix extends string } } }
  ? `${Key}${Suffix}`
  : Key;

type Flat<T> = { readonly [Key in keyof T]: T[Key] };

/** The name that a key of the files has in the program. */
export function nameOf(key: string, shape: Shape): string {
  return `${key}${(shape.bounded ?? shape).unit?.suffix ?? ''}`;
}

/** Converts values between files, the program and records. Build it once: it is used for thousands of apps. */
interface Codec<Value> {
  /** From a file to the program; the value fits the schema. */
  read(written: unknown): Value;
  /** From a record to the program: puts in defaults for keys that the record lacks. */
  complete(recorded: unknown): Value;
  /** From the program to a record: leaves out `later` keys that have their default. */
  recorded(value: Value): unknown;
  /** From the program to a file that says all of it; the inverse of `read`. */
  written(value: Value): unknown;
}

export function codec<Schema extends TSchema>(schema: Schema): Codec<Parsed<Schema>> {
  return codecOf(schema as Shape) as Codec<Parsed<Schema>>;
}

function codecOf(shape: Shape): Codec<unknown> {
  if (shape.properties) return sectionCodec(shape);
  const { bounded, unit } = shape;
  if (bounded) {
    const { read, written } = codecOf(bounded);
    return {
      ...identity,
      read: (said) => (said === unlimited ? undefined : read(said)),
      written: (value) => (value === undefined ? unlimited : written(value)),
    };
  }
  if (unit) return { ...identity, read: (said) => unit.parse(said as string), written: unit.show ?? same };
  const item = shape.each ?? shape.items;
  return item ? listCodec(codecOf(item)) : identity;
}

const same = (value: unknown): unknown => value;
const identity: Codec<unknown> = { read: same, complete: same, recorded: same, written: same };

function listCodec(item: Codec<unknown>): Codec<unknown> {
  if (item === identity) return { ...identity, read: (written) => [written].flat() };
  const each = (change: (value: unknown) => unknown) => (values: unknown) => {
    const changed = [values].flat().map(change);
    return Array.isArray(values) && changed.every((value, index) => value === values[index]) ? values : changed;
  };
  const recorded = item.recorded === same ? same : each(item.recorded);
  return { read: each(item.read), complete: each(item.complete), recorded, written: each(item.written) };
}

/** A key of a section. */
interface Field {
  readonly key: string;
  readonly name: string;
  readonly isLater: boolean;
  /** If it is absent, it is unlimited. */
  readonly isBounded: boolean;
  readonly codec: Codec<unknown>;
  /** The value if a file lacks the key, and if a record lacks it. */
  readonly unwritten: unknown;
  readonly unrecorded: unknown;
}

type Values = Record<string, unknown>;

function sectionCodec({ properties = {} }: Shape): Codec<unknown> {
  const fields = Object.entries(properties).map(([key, child]): Field => {
    // An absent amount is an unlimited one, so a record could not say that it is older than the key.
    if (child.bounded && (child.later || child.bounded.later))
      throw new TypeError(`${key} cannot be both later and orUnlimited`);
    const codec = codecOf(child);
    const byDefault = child.properties ? {} : child.default;
    const unwritten = byDefault === undefined ? undefined : codec.read(byDefault);
    const unrecorded = child.bounded ? undefined : unwritten;
    const marks = { isLater: child.later === true, isBounded: child.bounded !== undefined };
    return { key, name: nameOf(key, child), ...marks, codec, unwritten, unrecorded };
  });
  /** A mapping with the names of the program, in the order of the schema; `before` itself if it is equal. */
  const build = (valueOf: (field: Field) => unknown, before: Values = {}): Values => {
    const built: Values = {};
    const names = Object.keys(before);
    let count = 0;
    let isSame = true;
    for (const field of fields) {
      const value = valueOf(field);
      if (value === undefined) continue;
      built[field.name] = value;
      isSame &&= names[count] === field.name && before[field.name] === value;
      count += 1;
    }
    return isSame && count === names.length ? before : built;
  };
  const isWhole = fields.every(({ isLater, codec }) => !isLater && codec.recorded === same);
  return {
    read: (written) => {
      const given = written as Values;
      return build(({ key, codec, unwritten }) => (given[key] === undefined ? unwritten : codec.read(given[key])));
    },
    complete: (recorded) => {
      const given = recorded as Values;
      return build(
        ({ name, codec, unrecorded }) => (given[name] === undefined ? unrecorded : codec.complete(given[name])),
        given,
      );
    },
    recorded: isWhole
      ? same
      : (value) => {
          const given = value as Values;
          return build((field) => {
            const { name, codec } = field;
            return isLeftOut(field, given[name]) ? undefined : codec.recorded(given[name]);
          }, given);
        },
    written: (value) => {
      const given = value as Values;
      const said = fields.filter(({ name, isBounded }) => isBounded || given[name] !== undefined);
      return Object.fromEntries(said.map(({ key, name, codec: each }) => [key, each.written(given[name])]));
    },
  };
}

function isLeftOut({ isLater, unrecorded }: Field, value: unknown): boolean {
  return (
    value === undefined || (isLater && (value === unrecorded || JSON.stringify(value) === JSON.stringify(unrecorded)))
  );
}

/**
 * Of several mappings that may say the same keys, the first that says something wins: sections, and dictionaries that are
 * `merged`, key by key.
 */
export function merge<Written extends object>(schema: TSchema, layers: readonly [Written, ...object[]]): Written {
  return layers.reduceRight((below, above) => merged(schema as Shape, above as Values, below as Values)) as Written;
}

function merged(shape: Shape, above: Values, below: Values): Values {
  const inner = Object.entries(shape.properties ?? {}).flatMap(([key, child]) => {
    const [first, second] = [above[key], below[key]];
    return (child.properties ?? child.merged) && first && second
      ? [[key, merged(child, first as Values, second as Values)] as const]
      : [];
  });
  return { ...below, ...above, ...Object.fromEntries(inner) };
}
