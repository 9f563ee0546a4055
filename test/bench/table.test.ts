import t from 'tap';
import { markdown, plainText } from '../../bench/table.js';

const table = {
  title: 'Relays',
  columns: ['relay', 'CPU'],
  rows: [
    ['nginx', '16.0'],
    ['a | b', '7'],
  ],
  notes: ['Medians.', 'On one core.'],
};

t.test('text has columns of one width, with figures to the right', async (t) => {
  t.equal(plainText(table), 'Relays\nrelay    CPU\nnginx   16.0\na | b      7\n  Medians.\n  On one core.');
});

t.test('Markdown is a table whose cells cannot break it', async (t) => {
  const lines = ['**Relays**', '', '| relay | CPU |', '|---|---:|', '| nginx | 16.0 |', '| a \\| b | 7 |'];
  t.equal(markdown(table), [...lines, '', 'Medians. On one core.'].join('\n'));
});

t.test('a row that is too short has empty cells', async (t) => {
  const short = { title: 'T', columns: ['a', 'b'], rows: [['x']] };
  t.match(markdown(short), /\| x \|  \|$/);
  t.match(plainText(short), /^x$/m);
});
