import fc from 'fast-check';
import t from 'tap';
import { median, pairedInterval, pairedRatio, quantile, spread } from '../../bench/statistics.js';

t.test('the median is the middle value, or the mean of the middle two', async (t) => {
  t.equal(median([3, 1, 2]), 2);
  t.equal(median([4, 1, 3, 2]), 2.5);
  t.equal(median([7]), 7);
  t.ok(Number.isNaN(median([])), 'of none there is none');
});

t.test('quantiles lie between neighbours and reach from the least to the greatest', async (t) => {
  t.equal(quantile([10, 20, 30, 40, 50], 0.25), 20);
  t.equal(quantile([0, 10], 0.3), 3);
  fc.assert(
    fc.property(fc.array(fc.integer(), { minLength: 1 }), fc.double({ min: 0, max: 1, noNaN: true }), (values, q) => {
      const found = quantile(values, q);
      return found >= Math.min(...values) && found <= Math.max(...values);
    }),
  );
  t.equal(quantile([1, 2, 3], 7), 3, 'a share above one is the greatest');
});

t.test('a series is not changed by looking at it', async (t) => {
  const values = [3, 1, 2];
  median(values);
  t.same(values, [3, 1, 2]);
});

t.test('a machine that slows down between rounds does not show in a ratio of rounds', async (t) => {
  t.equal(pairedRatio([10, 20, 40], [5, 10, 20]), 2);
  t.equal(pairedRatio([10, 20, 40, 99], [5, 10, 20]), 2, 'a round without its counterpart does not count');
  t.ok(Number.isNaN(pairedRatio([], [])));
});

t.test('the interval of a ratio leaves out at each end what the sign test allows', async (t) => {
  const rounds = (count: number) => Array.from({ length: count }, (_, round) => round + 1);
  const interval = (count: number) =>
    pairedInterval(
      rounds(count),
      rounds(count).map(() => 1),
    );
  // Source: tables of the sign test, two-sided, 5 %: of 6 rounds the extremes, of 9 the second, of 20 the sixth from each end.
  t.same(interval(5), [1, 5]);
  t.same(interval(6), [1, 6]);
  t.same(interval(9), [2, 8]);
  t.same(interval(20), [6, 15]);
  t.same(interval(0), [Number.NaN, Number.NaN]);
});

t.test(
  'the spread of a thing with itself is how far its two series are apart, in the middle and at worst',
  async (t) => {
    t.same(spread([10, 10], [10, 10]), { middle: 0, worst: 0 });
    const { middle, worst } = spread([10, 10, 10], [11, 10.5, 8]);
    t.equal(middle.toFixed(3), '0.100', 'above and below count alike');
    t.equal(worst.toFixed(3), '0.200');
  },
);
