import t from 'tap';
import { mergePatch } from '../../src/admin/merge-patch.js';

t.test('a merge patch does what the examples of RFC 7396 say', async (t) => {
  const examples: [unknown, unknown, unknown][] = [
    [{ a: 'b' }, { a: 'c' }, { a: 'c' }],
    [{ a: 'b' }, { b: 'c' }, { a: 'b', b: 'c' }],
    [{ a: 'b' }, { a: null }, {}],
    [{ a: 'b', b: 'c' }, { a: null }, { b: 'c' }],
    [{ a: ['b'] }, { a: 'c' }, { a: 'c' }],
    [{ a: 'c' }, { a: ['b'] }, { a: ['b'] }],
    [{ a: { b: 'c' } }, { a: { b: 'd', c: null } }, { a: { b: 'd' } }],
    [{ a: [{ b: 'c' }] }, { a: [1] }, { a: [1] }],
    [
      ['a', 'b'],
      ['c', 'd'],
      ['c', 'd'],
    ],
    [{ a: 'b' }, ['c'], ['c']],
    [{ a: 'foo' }, null, null],
    [{ a: 'foo' }, 'bar', 'bar'],
    [{ e: null }, { a: 1 }, { e: null, a: 1 }],
    [[1, 2], { a: 'b', c: null }, { a: 'b' }],
    [{}, { a: { bb: { ccc: null } } }, { a: { bb: {} } }],
  ];
  for (const [target, patch, result] of examples) t.same(mergePatch(target, patch), result, JSON.stringify(patch));
});

t.test('a key of objects in general is a key like any other', async (t) => {
  const patched = mergePatch({}, JSON.parse('{"__proto__": {"polluted": true}, "constructor": 1}'));
  t.equal(({} as Record<string, unknown>)['polluted'], undefined);
  t.same(Object.keys(patched as object), ['__proto__', 'constructor']);
});
