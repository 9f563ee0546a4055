import t from 'tap';
import { globs, words } from '../../src/wake/patterns.js';

t.test('an asterisk stands for any characters, and all else for itself', async (t) => {
  const rows: readonly (readonly [string, readonly string[], readonly string[]])[] = [
    ['/feed', ['/feed'], ['/feed/', '/Feed', '/feeds', '', '/a/feed']],
    ['/api/*', ['/api/', '/api/a/b'], ['/api', '/apix/', '/v/api/']],
    ['*.xml', ['.xml', '/a/b.xml'], ['/a.xml/', '/a.xmls']],
    ['*', ['', '/', '/a'], []],
    ['/a*b*c', ['/abc', '/a-b-c', '/abcbc'], ['/acb', '/ab', '/a-bc-']],
    ['/ab*ba', ['/abba', '/ab-ba'], ['/aba']],
    ['a*aa*a', ['aaaa', 'a-aa-a'], ['aaa', 'aa-a']],
    ['/x.(y)+[z]$^|\\', ['/x.(y)+[z]$^|\\'], ['/xa(y)+[z]$^|\\']],
  ];
  for (const [pattern, taken, refused] of rows) {
    const matches = globs([pattern]);
    for (const text of taken) t.ok(matches(text), `${pattern} takes ${text}`);
    for (const text of refused) t.notOk(matches(text), `${pattern} does not take ${text}`);
  }
});

t.test('words are taken literally and in any case', async (t) => {
  const has = words(['a.b*', 'GPTBot', '(x|y)', 'c-d', 'e/f']);
  for (const text of ['1 A.B* 2', 'gptbot', 'so (X|Y)', 'C-D', 'e/F']) t.ok(has(text), text);
  for (const text of ['', 'axb', 'a.b', 'x', 'c', 'GPT Bot']) t.notOk(has(text), text);
});

t.test('of what a client sends only a part is read, however long it is', async (t) => {
  t.notOk(words(['needle'])(`${' '.repeat(600)}needle`));
  t.ok(words(['needle'])(`needle${' '.repeat(600)}`));
  t.ok(globs(['/a*'])(`/${'a'.repeat(100_000)}`));
  t.notOk(globs(['*z'])(`/${'a'.repeat(100_000)}z`));
});
