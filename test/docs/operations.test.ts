import { existsSync, readFileSync } from 'node:fs';
import t from 'tap';

t.test('each fault in docs/operations.md says what clients see, what heals it, and which tests prove it', async (t) => {
  const lines = readFileSync('docs/operations.md', 'utf8').split('\n');
  const from = lines.findIndex((line) => line.startsWith('| fault |'));
  const rows = lines.slice(from + 2, lines.indexOf('', from)).filter((line) => !line.startsWith('| **'));
  t.ok(rows.length > 15);
  for (const row of rows) {
    const cells = row
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim());
    const [fault = '', , , tests = ''] = cells;
    t.equal(cells.filter(Boolean).length, 4, fault);
    const files = [...tests.matchAll(/`(test\/[^`]+)`/g)].map((match) => match[1] as string);
    t.ok(files.length > 0, `${fault}: names a test`);
    for (const file of files) t.ok(existsSync(file), `${file} is there`);
  }
});
