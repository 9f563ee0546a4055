import type { Static, TObject, TProperties, TSchema } from 'typebox';
import type Type from 'typebox';

/** The values of a mapping with its defaults put in: what has a default is always there. */
export type Filled<Schema extends TSchema> = Schema extends {
  readonly properties: infer Properties extends TProperties;
}
  ? { [Key in keyof Properties]: FilledProperty<Properties[Key]> }
  : Static<Schema>;

type FilledProperty<Property extends TSchema> = Property extends { readonly default: {} }
  ? Static<Property>
  : Property extends { readonly properties: TProperties }
    ? Filled<Property>
    : Property extends Type.TOptional<TSchema>
      ? Static<Property> | undefined
      : Static<Property>;

/** `value` with the defaults of its schema, mapping by mapping; lists and choices between shapes are taken whole. */
export function fill<Schema extends TObject>(schema: Schema, value: unknown): Filled<Schema> {
  const given = (value ?? {}) as Record<string, unknown>;
  const entries = Object.entries(schema.properties as Record<string, TSchema & { default?: unknown }>).map(
    ([key, property]) => {
      const written = given[key];
      const filled = isSection(property) ? fill(property, written) : (written ?? property.default);
      return [key, filled] as const;
    },
  );
  return Object.fromEntries(entries.filter(([, filled]) => filled !== undefined)) as Filled<Schema>;
}

function isSection(schema: TSchema): schema is TObject {
  return 'properties' in schema;
}
