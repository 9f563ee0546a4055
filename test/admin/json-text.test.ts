import t from 'tap';
import { faultOfJson } from '../../src/admin/json-text.js';

t.test('the depth of a text is that of its brackets, not of those within strings', async (t) => {
  const cases: [string, number][] = [
    ['1', 0],
    ['"[[["', 0],
    ['{"a": "\\"[["}', 1],
    ['[[], [[]]]', 3],
    ['{"a\\\\": [{}]}', 3],
  ];
  for (const [text, depth] of cases) {
    t.ok(faultOfJson(depth - 1, text)?.kind === 'deep' || depth === 0, text);
    t.notOk(faultOfJson(depth, text), text);
  }
});

t.test('a key that an object has twice is found, however it is written', async (t) => {
  const cases: [string, string | undefined][] = [
    ['{"a": 1, "a": 2}', 'a'],
    ['{"a": {"b": 1, "\\u0062": 2}}', 'b'],
    ['[{"a": 1}, {"a": 2}]', undefined],
    ['{"a": {"a": ":", "b": "a"}, "b": ["a", ":"]}', undefined],
    ['{"\\"": 1, "\\\\": 2}', undefined],
    ['{"": 1, "": 2}', ''],
    ['{"__proto__": 1, "__proto__": 2}', '__proto__'],
    ['not json: at all', undefined],
  ];
  for (const [text, key] of cases) {
    const fault = faultOfJson(32, text);
    t.equal(fault?.kind === 'repeated' ? fault.key : undefined, key, text);
  }
});
