import t from 'tap';
import { appFileSchema, appSchema } from '../../src/model/app-keys.js';
import { appWith, recordOf } from '../../src/model/app.js';
import { orUnlimited, section, size } from '../../src/model/schema/fields.js';
import { codec } from '../../src/model/schema/parsed.js';
import type { Shape } from '../../src/model/schema/shape.js';

const marks = ['own', 'customer', 'container', 'merged', 'needed', 'later'];
const known = [
  ...['type', 'const', 'enum', 'anyOf', 'items', 'properties', 'patternProperties', 'required', 'additionalProperties'],
  ...['pattern', 'minimum', 'maximum', 'minItems', 'maxItems', 'description', 'default', 'defaultText', 'examples'],
  ...['expects', 'expectsKey', 'secret', 'unit', 'each', 'bounded'],
];

function* shapes(shape: Shape, path: string): Generator<[string, Shape]> {
  yield [path, shape];
  const { properties = {}, patternProperties = {}, anyOf = [], items } = shape;
  for (const [key, child] of Object.entries({ ...properties, ...patternProperties }))
    yield* shapes(child, `${path}.${key}`);
  for (const child of [...anyOf, ...(items ? [items] : [])]) yield* shapes(child, path);
}

t.test('no key is marked with a word that nothing reads, and a mark is a flag', async (t) => {
  for (const [path, shape] of shapes(appFileSchema as Shape, 'app')) {
    t.strictSame(
      Object.keys(shape).filter((word) => ![...known, ...marks].includes(word)),
      [],
      path,
    );
    const flags = Object.entries(shape).filter(([word]) => marks.includes(word));
    t.ok(
      flags.every(([, value]) => value === true),
      path,
    );
  }
});

t.test(
  'keys that are newer than the first records come last, have a default, and are not recorded with it',
  async (t) => {
    const keys = Object.entries(appSchema.properties as Readonly<Record<string, Shape>>);
    const first = keys.findIndex(([, { later }]) => later);
    t.ok(first > 0);
    const record = recordOf(appWith({ name: 'a', domains: ['a.example'], runtime: 'process' })) as object;
    for (const [key, shape] of keys.slice(first)) {
      t.ok(shape.later, `${key} comes after keys that are later, so it is`);
      t.ok(shape.properties ?? shape.default !== undefined, `${key} has a default`);
      t.notOk(key in record, key);
    }
  },
);

t.test(
  'a key that may be unlimited cannot be a later one: a record could not say which of both it means',
  async (t) => {
    const docs = { from: '1m', to: '1g', description: 'A size.', default: '2m', examples: ['2m'] } as const;
    for (const key of [{ ...orUnlimited(size(docs)), later: true }, orUnlimited(size({ ...docs, later: true }))])
      t.throws(() => codec(section({}, { disk: key })), { message: 'disk cannot be both later and orUnlimited' });
    t.doesNotThrow(() => codec(section({}, { disk: orUnlimited(size(docs)), other: size({ ...docs, later: true }) })));
  },
);
