import t from 'tap';
import { type Life, wronglyBilled } from '../../scripts/soak/billing.js';

const second = 1_000;
/** Two lives of ten seconds. */
const lives: readonly Life[] = [
  { app: 'shop', from: 100 * second, until: 110 * second },
  { app: 'shop', from: 200 * second, until: 210 * second },
];
const bill = (seconds: number, app = 'shop') => new Map([[app, seconds * second]]);

t.test('the soak takes no bill for right that is off by more than a second for each process', async (t) => {
  for (const right of [20, 18.1, 21.9]) t.same(wronglyBilled(lives, bill(right), undefined), [], String(right));
  for (const wrong of [0, 10, 17, 23, 30, 40]) t.equal(wronglyBilled(lives, bill(wrong), undefined).length, 1);
  t.equal(wronglyBilled(lives, new Map(), undefined).length, 1, 'nothing is billed');
  t.equal(wronglyBilled([], bill(5, 'blog'), undefined).length, 1, 'an app that never ran');
});

t.test('of a store that was emptied, what had ended before is lost, and only that', async (t) => {
  const between = { from: 150 * second, until: 155 * second };
  t.same(wronglyBilled(lives, bill(10), between), []);
  for (const wrong of [0, 20]) t.equal(wronglyBilled(lives, bill(wrong), between).length, 1, String(wrong));
  const during = { from: 105 * second, until: 108 * second };
  for (const either of [10, 20])
    t.same(wronglyBilled(lives, bill(either), during), [], 'one ended while it was restored');
  t.equal(wronglyBilled(lives, bill(0), during).length, 1);
});
