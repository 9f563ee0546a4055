import t from 'tap';
import { atMost, exactly, stable, verdictTable } from '../../bench/verdict.js';

const show = (value: number) => `${value} ms`;

t.test('a budget is held up to and including its limit', async (t) => {
  t.match(atMost('start', 10, 10, show), { budget: '≤ 10 ms', measured: '10 ms', held: true });
  t.match(atMost('start', 10, 10.1, show), { held: false });
});

t.test('what was not measured is neither held nor broken', async (t) => {
  for (const measured of [undefined, Number.NaN]) {
    t.match(atMost('start', 10, measured, show), { measured: 'not measured', held: undefined });
  }
});

t.test('a count has to be exactly what was promised', async (t) => {
  t.match(exactly('boots', 1, 1, show), { held: true });
  t.match(exactly('boots', 1, 0, show), { held: false });
  t.match(exactly('boots', 1, 2, show), { held: false });
});

t.test('counts are stable, and what is said to be', async (t) => {
  t.equal(exactly('boots', 1, 2, show).isStable, true);
  t.equal(atMost('start', 10, 11, show).isStable, false);
  t.match(stable(atMost('bytes', 10, 11, show)), { held: false, isStable: true });
});

t.test('the table of budgets says which are held', async (t) => {
  const verdicts = [exactly('boots', 1, 1, show), exactly('boots', 1, 2, show), atMost('start', 1, undefined, show)];
  t.same(
    verdictTable(verdicts).rows.map((row) => row[3]),
    ['held', 'NOT HELD', '—'],
  );
});
