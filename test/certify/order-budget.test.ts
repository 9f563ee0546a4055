import t from 'tap';
import { OrderBudget } from '../../src/certify/order-budget.js';

const hourMs = 60 * 60_000;

t.test('an app may order twenty certificates in an hour, all together eighty, and more as time goes by', (t) => {
  const budget = new OrderBudget();
  const count = (app: string, now: number) =>
    Array.from({ length: 100 }, () => budget.take(app, now)).filter(Boolean).length;
  t.equal(count('greedy', 0), 20);
  t.equal(count('b', 0), 20, 'the others have theirs');
  t.equal(count('c', 0) + count('d', 0), 40);
  t.equal(count('e', 0), 0);
  t.equal(count('greedy', hourMs / 2), 10);
  t.equal(count('e', hourMs / 2), 20);
  t.equal(count('greedy', 100 * hourMs), 20, 'no more than that are saved up');
  t.end();
});
