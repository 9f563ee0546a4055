import type { TSchema } from './typebox.js';
import type { Unit } from './fields.js';

/** The JSON Schema of a key, with this product's annotations. */
export interface Shape extends TSchema {
  readonly type?: string;
  readonly const?: unknown;
  readonly pattern?: string;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Shape[];
  readonly items?: Shape;
  readonly properties?: Readonly<Record<string, Shape>>;
  readonly patternProperties?: Readonly<Record<string, Shape>>;
  readonly required?: readonly string[] | undefined;
  readonly expects?: string;
  readonly expectsKey?: string;
  readonly secret?: boolean;
  readonly description?: string;
  readonly default?: unknown;
  readonly defaultText?: string;
  readonly examples?: readonly unknown[];
  /** Of a text that stands for something else: see Unit. */
  readonly unit?: Unit;
  /** Of `oneOrMore`: the item. */
  readonly each?: Shape;
  /** Of `orUnlimited`: the amount. */
  readonly bounded?: Shape;
  /** Marks of the keys of an app: see app-keys.ts. */
  readonly own?: boolean;
  readonly customer?: boolean;
  readonly container?: boolean;
  readonly merged?: boolean;
  readonly needed?: boolean;
  readonly later?: boolean;
}

export type Kind = 'mapping' | 'list' | 'scalar';

/** The alternatives of a schema that may hold a value of this kind. */
export function alternatives(shape: Shape, kind: Kind): readonly Shape[] {
  return (shape.anyOf ?? [shape])
    .flatMap((option) => (option.anyOf ? alternatives(option, kind) : [option]))
    .filter((option) => kindOf(option) === kind);
}

/** Of several mappings, the one that knows most of these keys. */
export function mappingFor(shape: Shape, keys: readonly string[]): Shape | undefined {
  const known = (option: Shape) => keys.filter((key) => childOf(option, key) !== undefined).length;
  return alternatives(shape, 'mapping').toSorted((a, b) => known(b) - known(a))[0];
}

/** Schema of a key of a mapping; undefined if the mapping does not know it. */
export function childOf(shape: Shape | undefined, key: string): Shape | undefined {
  if (shape?.properties && Object.hasOwn(shape.properties, key)) return shape.properties[key];
  const matching = Object.entries(shape?.patternProperties ?? {}).find(([pattern]) => new RegExp(pattern).test(key));
  return matching?.[1];
}

export function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function kindOf(shape: Shape): Kind {
  if (shape.type === 'object') return 'mapping';
  return shape.type === 'array' ? 'list' : 'scalar';
}
