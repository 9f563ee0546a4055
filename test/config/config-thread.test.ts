import { rm } from 'node:fs/promises';
import t, { type Test } from 'tap';
import type { Config } from '../../src/config/config.js';
import { ConfigError, formatProblem } from '../../src/config/problem.js';
import { ConfigThread, type ConfigThreadOptions } from '../../src/config/reader/config-thread.js';
import { appYaml, mainYaml, makeFiles } from './files.js';

async function threaded(t: Test, contents: Record<string, string>, more: Partial<ConfigThreadOptions> = {}) {
  const files = await makeFiles(contents);
  const thread = new ConfigThread({ file: files.main, env: { X: 'x' }, ...more });
  t.teardown(async () => {
    await thread.close();
    await files.remove();
  });
  return { files, thread };
}

function namesOf({ apps }: Config): string[] {
  return apps.map(({ name }) => name).toSorted();
}

function repeat(text: string, length: number): string {
  return text.repeat(Math.ceil(length / text.length)).slice(0, length);
}

/** What of a megabyte, or of a document, takes a parser longest, or has ended one. */
const hostile: [title: string, content: string][] = [
  [
    'chained aliases',
    `a0: &a0 [x]\n${Array.from({ length: 3_500 }, (_, n) => `a${n + 1}: &a${n + 1} [*a${n}, *a${n}]\n`).join('')}`,
  ],
  ['tiny documents', repeat('a\n---\n', 1_000_000)],
  ['documents that end in dots', repeat('a\n...\n', 60_000)],
  ['duplicate keys', repeat('a: 1\n', 1_000_000)],
  ['keys', Array.from({ length: 8_000 }, (_, n) => `k${n}:`).join('\n')],
  ['brackets', repeat('[', 1_000_000)],
  ['nested mappings', Array.from({ length: 350 }, (_, n) => `${' '.repeat(n)}a:`).join('\n')],
  ['commas', `[${repeat(',', 60_000)}`],
  ['closing brackets', repeat(']\n', 60_000)],
  ['bad escapes', `"${repeat('\\q', 60_000)}"`],
  ['one long word', repeat('a', 1_000_000)],
  ['one long key', `${repeat('a', 60_000)}: 1`],
  ['control characters', `name: "${repeat('\\x1b[2J\\u009b\\u202e', 50_000)}"`],
  ['comments', repeat('#\n', 1_000_000)],
  ['tags', repeat('- !x y\n', 60_000)],
  ['question marks', repeat('? ', 60_000)],
  ['unknown keys', Array.from({ length: 6_000 }, (_, n) => `idel${n}: x`).join('\n')],
  ['zeros', repeat('\0', 1_000_000)],
];

t.test('no hostile file keeps the others from being read, and each ends in few short lines', async (t) => {
  const { files, thread } = await threaded(t, { 'main.yaml': mainYaml, 'apps/z.yaml': appYaml('z') });
  let ttl = 1;
  for (const [title, content] of hostile) {
    await files.write('apps/hostile.yaml', content);
    await files.write('apps/z.yaml', appYaml('z', `idleTtl: ${ttl}s\n`));
    const config = await thread.load();
    t.strictSame(namesOf(config), ['z'], title);
    t.equal(config.apps[0]?.idleTtlMs, 1000 * ttl++, `${title}: the change beside it counts`);
    t.ok(config.problems.length > 0 && config.problems.length <= 10, `${title}: ${config.problems.length} problems`);
    for (const problem of config.problems) {
      const line = formatProblem(problem);
      t.ok(line.length < 700 && !/\p{Cc}|\u202e/u.test(line), `${title}: ${line.slice(0, 100)}`);
      t.notMatch(line, /\n| at .*:\d+:\d+/, 'no stack trace');
    }
  }
});

t.test('the event loop goes on while a thread reads: it never parses itself', async (t) => {
  const { files, thread } = await threaded(t, { 'main.yaml': mainYaml });
  for (let n = 0; n < 2; n += 1) await files.write(`apps/h${n}.yaml`, `[${repeat(',', 15_000)}`);
  let [turns, done] = [0, false];
  const loading = thread.load().finally(() => (done = true));
  const turn = () => {
    turns += 1;
    if (!done) setImmediate(turn);
  };
  turn();
  const config = await loading;
  t.ok(turns > 100, `${turns} turns meanwhile`);
  t.ok(config.problems.length >= 2);
});

t.test('a file that a thread does not get done with, or ends over, is left out until it changes', async (t) => {
  const program = new URL('../fixtures/stuck-reader.js', import.meta.url);
  const { files, thread } = await threaded(
    t,
    {
      'main.yaml': mainYaml,
      'apps/a.yaml': appYaml('a'),
      'apps/slow.yaml': appYaml('slow'),
      'apps/fatal.yaml': appYaml('fatal'),
    },
    { program, documentMs: 8_000 },
  );
  const config = await thread.load();
  t.strictSame(namesOf(config), ['a']);
  t.strictSame(
    config.problems.map(formatProblem).map((line) => line.replaceAll(`${files.directory}/`, '')),
    [
      'apps/fatal.yaml:1: cannot be read: the thread that reads files ended; it is read again when it changes',
      'apps/slow.yaml:1: cannot be read: it takes longer than 8 s; it is read again when it changes',
    ],
  );
  await files.write('apps/slow.yaml', appYaml('slow', 'idleTtl: 5m\n'));
  t.strictSame(namesOf(await thread.load()), ['a', 'slow']);
});

t.test(
  'apps that did not change are the same objects, a bad main file is a ConfigError, and what is gone is gone',
  async (t) => {
    const { files, thread } = await threaded(t, {
      'main.yaml': mainYaml,
      'apps/a.yaml': appYaml('a', 'env: { A: "${X}" }\n'),
      'apps/b.yaml': appYaml('b'),
      'apps/c.yaml': appYaml('c'),
    });
    const first = await thread.load();
    t.strictSame(first.apps.find(({ name }) => name === 'a')?.env, { A: 'x' });
    await files.write('apps/b.yaml', appYaml('b', 'idleTtl: 5m\n'));
    await rm(files.path('apps/c.yaml'));
    const second = await thread.load();
    t.strictSame(namesOf(second), ['a', 'b']);
    t.equal(second.apps[0], first.apps[0]);
    t.not(second.apps[1], first.apps[1]);
    await files.write('main.yaml', 'workers: x\n');
    await t.rejects(thread.load(), ConfigError);
    await files.write('main.yaml', mainYaml);
    t.equal((await thread.load()).apps[0], first.apps[0]);
  },
);
