import t from 'tap';
import { jsonLine, processScreen, type Screen } from '../../../src/cli/remote/screen.js';
import { distance, fields, table } from '../../../src/cli/remote/table.js';

const plain: Screen = { out: () => {}, err: () => {}, style: (_style, text) => text, now: () => 0 };

t.test('columns are as wide as their widest cell, and lines end without blanks', async (t) => {
  const text = table(
    ['NAME', 'STATE', 'NOTE'],
    [
      ['a', 'ready', ''],
      ['longer', ['failed', 'red'], 'x'],
    ],
    plain,
  );
  t.equal(text, 'NAME    STATE   NOTE\na       ready\nlonger  failed  x\n');
  t.equal(
    fields(
      [
        ['name', 'a'],
        ['plan', undefined],
        ['revision', 'r'],
      ],
      plain,
    ),
    'name      a\nrevision  r\n',
  );
});

t.test('what apps and stores supply cannot act on a terminal, nor forge a line', async (t) => {
  const hostile = 'a\u001b]0;owned\u0007\n\u009b31mroot\u202e\u061c\u007f';
  for (const text of [table(['X'], [[hostile]], plain), fields([['x', hostile]], plain), jsonLine({ hostile })])
    t.notMatch(text.replace(/\n$/, '').replace(/^X\n/, ''), /[\p{Cc}\p{Bidi_Control}]/u);
  t.same(JSON.parse(jsonLine({ hostile })), { hostile }, 'JSON still says the same');
});

t.test('there are colours on a terminal only, and not with NO_COLOR', async (t) => {
  const styled = (env: Record<string, string>, isTerminal: boolean) => processScreen(env, isTerminal).style('red', 'x');
  t.equal(styled({}, true), '\u001b[31mx\u001b[39m');
  for (const [env, isTerminal] of [
    [{}, false],
    [{ NO_COLOR: '1' }, true],
    [{ TERM: 'dumb' }, true],
  ] as const)
    t.equal(styled(env, isTerminal), 'x');
});

t.test('times are told in one unit', async (t) => {
  const now = Date.parse('2026-01-10T00:00:00Z');
  const ago = (ms: number) => distance(new Date(now - ms).toISOString(), now);
  t.same([5_000, 120_000, 3 * 3_600_000, 9 * 86_400_000].map(ago), ['5s', '2m', '3h', '9d']);
  t.equal(distance(null, now), '');
});
