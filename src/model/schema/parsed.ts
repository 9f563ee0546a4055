import type { Static, TProperties, TSchema } from 'typebox';
import { unlimited } from './fields.js';
import type { Shape } from './shape.js';

/**
 * What the program has of a value that fits a schema: defaults put in, texts parsed (`idleTtl: 20m` is `idleTtlMs: 1200000`), and
 * what is `unlimited` absent.
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

/** Names of what may be absent. */
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

/** The name in the program of a key of the files. */
export function nameOf(key: string, shape: Shape): string {
  return `${key}${(shape.bounded ?? shape).unit?.suffix ?? ''}`;
}

/** What the program has of a value that fits its schema. */
export function parse<Schema extends TSchema>(schema: Schema, written: unknown): Parsed<Schema> {
  return read(schema as Shape, written) as Parsed<Schema>;
}

function read(shape: Shape, written: unknown = shape.default): unknown {
  if (shape.properties) {
    const given = (written ?? {}) as Record<string, unknown>;
    return mapSection(shape, (key, _name, child) => read(child, given[key]));
  }
  if (written === undefined) return undefined;
  if (shape.bounded) return written === unlimited ? undefined : read(shape.bounded, written);
  if (shape.unit) return shape.unit.parse(written as string);
  const item = shape.each ?? shape.items;
  return item ? [written].flat().map((each) => read(item, each)) : written;
}

/** What a record says, with the defaults of what was not there when it was written or is left out. */
export function complete<Schema extends TSchema>(schema: Schema, recorded: unknown): Parsed<Schema> {
  return completed(schema as Shape, recorded) as Parsed<Schema>;
}

function completed(shape: Shape, recorded: unknown): unknown {
  if (recorded === undefined) return shape.bounded ? undefined : read(shape, undefined);
  if (shape.items?.properties) return (recorded as readonly unknown[]).map((each) => completed(shape.items!, each));
  if (!shape.properties) return recorded;
  const given = recorded as Record<string, unknown>;
  return mapSection(shape, (_key, name, child) => completed(child, given[name]));
}

/** What of it is recorded: without keys that are `later` than the first records and have their default. */
export function recorded<Schema extends TSchema>(schema: Schema, value: Parsed<Schema>): unknown {
  return withoutDefaults(schema as Shape, value);
}

function withoutDefaults(shape: Shape, value: unknown): unknown {
  if (shape.items?.properties) return (value as readonly unknown[]).map((each) => withoutDefaults(shape.items!, each));
  if (!shape.properties || value === undefined) return value;
  const given = value as Record<string, unknown>;
  return mapSection(shape, (_key, name, child) =>
    isLeftOut(child, given[name]) ? undefined : withoutDefaults(child, given[name]),
  );
}

function isLeftOut(shape: Shape, value: unknown): boolean {
  return shape.later === true && JSON.stringify(value) === JSON.stringify(read(shape, undefined));
}

/** A mapping by the names of the program, in the order of the schema. */
function mapSection(shape: Shape, valueOf: (key: string, name: string, child: Shape) => unknown): unknown {
  const entries = Object.entries(shape.properties ?? {}).map(([key, child]) => {
    const name = nameOf(key, child);
    return [name, valueOf(key, name, child)] as const;
  });
  return Object.fromEntries(entries.filter(([, value]) => value !== undefined));
}

/**
 * Of several mappings that may say the same keys, the first that says something wins: sections, and dictionaries that are
 * `merged`, key by key.
 */
export function merge<Written extends object>(schema: TSchema, layers: readonly [Written, ...object[]]): Written {
  return layers.reduceRight((below, above) => merged(schema as Shape, above, below)) as Written;
}

function merged(shape: Shape, above: object, below: object): object {
  const [first, second] = [above, below] as Record<string, object | undefined>[] as [
    Record<string, object | undefined>,
    Record<string, object | undefined>,
  ];
  const inner = Object.entries(shape.properties ?? {}).flatMap(([key, child]) =>
    (child.properties || child.merged) && first[key] && second[key]
      ? [[key, merged(child, first[key], second[key])] as const]
      : [],
  );
  return { ...below, ...above, ...Object.fromEntries(inner) };
}
