import { readFileSync } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import t from 'tap';
import { int, pick, type Random, seeded } from '../../scripts/load/random.js';
import { loadConfig } from '../../src/config/load-config.js';
import { ConfigError } from '../../src/config/problem.js';
import { makeFiles } from '../config/files.js';

const seed = Number(process.env['FASTCONTAINER_TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 32));
const rounds = 400;
const shipped = { main: readFileSync('config/fastcontainer.yaml'), app: readFileSync('config/apps/hello.yaml') };

t.test('the shipped files with damaged bytes load, or say what is wrong with file and line', async (t) => {
  t.comment(`seed ${seed}`);
  const random = seeded(seed);
  const files = await makeFiles({ 'main.yaml': '', 'apps/hello.yaml': '' });
  t.teardown(files.remove);
  for (let round = 0; round < rounds; round += 1) {
    const main = random() < 0.5 ? damaged(random, shipped.main) : shipped.main;
    await writeFile(files.main, main);
    await writeFile(files.path('apps/hello.yaml'), damaged(random, shipped.app));
    await expectProblemsOrConfig(files.main);
  }
  t.pass();
});

/** Values that a key is not made for. */
const odd = [
  'null',
  '[]',
  '{}',
  '""',
  '-1',
  '1e999',
  '.nan',
  '.inf',
  'true',
  '0x10',
  '2026-01-01',
  '[[[[]]]]',
  '{a: {b: c}}',
  '"\\0"',
  '"${"',
  '99999999999d',
  '*x',
  '!!set {a}',
  '<<',
  '|',
];

t.test('any key with a value of another type loads, or says what is wrong with file and line', async (t) => {
  t.comment(`seed ${seed}`);
  const random = seeded(seed);
  for (const [name, schema] of [
    ['main.yaml', 'config/schema/fastcontainer.schema.json'],
    ['apps/hello.yaml', 'config/schema/app.schema.json'],
  ] as const) {
    const { properties } = JSON.parse(readFileSync(schema, 'utf8')) as { properties: Record<string, unknown> };
    for (const key of Object.keys(properties)) {
      for (const value of odd) {
        const contents = { 'main.yaml': shipped.main.toString(), 'apps/hello.yaml': shipped.app.toString() };
        const without = contents[name].replace(new RegExp(`^${key}:.*\\n(?:[ -].*\\n)*`, 'm'), '');
        const files = await makeFiles({ ...contents, [name]: `${without}\n${key}: ${value}\n` });
        await expectProblemsOrConfig(files.main);
        // One level down, too.
        await writeFile(
          files.path(name),
          `${without}\n${key}: { ${pick(random, ['a', 'http', 'max', 'url'])}: ${value} }\n`,
        );
        await expectProblemsOrConfig(files.main);
        await files.remove();
      }
    }
  }
  t.pass();
});

async function expectProblemsOrConfig(file: string): Promise<void> {
  const problems = await problemsOf(file);
  for (const { file: where, line, message } of problems) {
    if (!where || !(line >= 1) || !message) throw new Error(`a problem without a place: ${where}:${line} ${message}`);
  }
}

/** None where it loads. */
async function problemsOf(file: string): Promise<ConfigError['problems']> {
  try {
    await loadConfig(file, {});
    return [];
  } catch (error) {
    if (error instanceof ConfigError && error.problems.length > 0) return error.problems;
    throw error;
  }
}

function damaged(random: Random, bytes: Buffer): Buffer {
  let result = bytes;
  for (let count = 1 + int(random, 3); count > 0; count -= 1) {
    const at = int(random, result.length);
    const noise = Buffer.from(Array.from({ length: 1 + int(random, 4) }, () => int(random, 256)));
    const removed = pick(random, [0, 0, 1, 4, 40]);
    result = Buffer.concat([
      result.subarray(0, at),
      random() < 0.7 ? noise : Buffer.alloc(0),
      result.subarray(at + removed),
    ]);
  }
  return result;
}
