import { readFile } from 'node:fs/promises';
import t from 'tap';
import { transitions } from '../../src/model/instance.js';

t.test('the table of states in docs/architecture.md is the one in the code', async (t) => {
  const text = await readFile('docs/architecture.md', 'utf8');
  const rows = [...text.matchAll(/^\| `(\w+)` \| ((?:`\w+`(?:, )?)+) \|$/gm)];
  const written = Object.fromEntries(
    rows.map(([, state = '', next = '']) => [state, [...next.matchAll(/`(\w+)`/g)].map(([, name]) => name)]),
  );
  t.same(written, transitions);
});
