import { mkdir, symlink } from 'node:fs/promises';
import t from 'tap';
import { glob } from '../../src/config/glob.js';
import { makeFiles } from './files.js';

const names = [
  'a.yaml',
  'b.yml',
  '.hidden.yaml',
  'deep/c.yaml',
  'deep/er/d.yaml',
  'deep/.git/e.yaml',
  'other/c.yaml',
  'x+y(1).yaml',
];

const cases: [pattern: string, found: string[]][] = [
  ['*.yaml', ['a.yaml', 'x+y(1).yaml']],
  ['./*.{yaml,yml}', ['a.yaml', 'b.yml', 'x+y(1).yaml']],
  ['?.y*ml', ['a.yaml', 'b.yml']],
  ['[ab].*', ['a.yaml', 'b.yml']],
  ['[!a].*', ['b.yml']],
  ['[do]*/c.yaml', ['deep/c.yaml', 'other/c.yaml']],
  ['deep/**/*.yaml', ['deep/c.yaml', 'deep/er/d.yaml']],
  ['**/c.yaml', ['deep/c.yaml', 'other/c.yaml']],
  ['linked/*.yaml', ['linked/c.yaml']],
  ['{deep,other}/c.yaml', ['deep/c.yaml', 'other/c.yaml']],
  ['a.yaml', ['a.yaml']],
  ['.*.yaml', ['.hidden.yaml']],
  ['x+y(1).yaml', ['x+y(1).yaml']],
  ['none/*.yaml', []],
  ['a.yaml/*.yaml', []],
  ['none.yaml', []],
];

t.test('patterns find what they match, and match what they find', async (t) => {
  const files = await makeFiles(Object.fromEntries(names.map((name) => [name, ''])));
  t.teardown(files.remove);
  await symlink('other', files.path('linked'));
  await mkdir(files.path('empty'));
  for (const [pattern, expected] of cases) {
    const found = glob([pattern], files.directory).find().files;
    t.strictSame(
      found,
      expected.map((name) => files.path(name)),
      pattern,
    );
    for (const name of names)
      t.equal(
        glob([pattern], files.directory).matches(files.path(name)),
        expected.includes(name),
        `${pattern} ${name}`,
      );
  }
});

t.test('several patterns find each file once', async (t) => {
  const files = await makeFiles({ 'a.yaml': '' });
  t.teardown(files.remove);
  t.strictSame(glob(['*.yaml', 'a.*'], files.directory).find().files, [files.path('a.yaml')]);
});

t.test('absolute patterns ignore the base, and the roots say where to look', async (t) => {
  t.strictSame(glob(['/srv/*/app.yaml', './apps/**/*.yaml'], '/etc/fc').roots, ['/srv', '/etc/fc/apps']);
});
