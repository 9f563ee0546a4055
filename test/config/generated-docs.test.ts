import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { generatedFiles, staleFiles } from '../../scripts/generate-docs.js';
import { errorTable } from '../../src/model/errors.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));

t.test('the generated documents say what the source says', async (t) => {
  t.strictSame(await staleFiles(root), [], 'run `npm run docs`');
});

t.test('missing documents are stale', async (t) => {
  const empty = await mkdtemp(join(tmpdir(), 'fastcontainer-docs-'));
  t.teardown(() => rm(empty, { recursive: true }));
  t.strictSame(await staleFiles(empty), [...generatedFiles().keys()]);
});

t.test('every key has a description and an example', async (t) => {
  const rows = generatedFiles()
    .get('docs/configuration.md')!
    .split('\n')
    .filter((line) => line.startsWith('| `'));
  t.ok(rows.length > 60);
  for (const row of rows) {
    const cells = row
      .replaceAll('\\|', '')
      .split('|')
      .map((cell) => cell.trim());
    t.equal(cells.length, 6, row);
    t.ok(cells[2] && cells[4], row);
  }
});

t.test('every error code is documented', async (t) => {
  for (const code of Object.keys(errorTable)) t.match(generatedFiles().get('docs/errors.md'), `| \`${code}\` |`);
});
