import t from 'tap';
import { TokenBuckets } from '../../src/model/token-buckets.js';
import { parseRate, partOf } from '../../src/model/wake/rate.js';

t.test('a bucket gives what it holds at once, and then as many as its rate', async (t) => {
  const buckets = new TokenBuckets(10);
  const rate = { count: 3, periodMs: 60_000 };
  const take = (now: number) => {
    const waitMs = buckets.waitMs('a', rate, now);
    if (waitMs === 0) buckets.take('a', rate, now);
    return waitMs;
  };
  t.same([0, 0, 0, 0].map(take), [0, 0, 0, 20_000]);
  t.equal(take(19_000), 1_000);
  t.equal(take(20_000), 0);
  t.equal(take(20_000), 20_000);
  t.same([1e9, 1e9, 1e9].map(take), [0, 0, 0], 'it is full again after a while, and holds no more than before');
  t.ok(take(1e9) > 0);
  t.equal(buckets.waitMs('b', rate, 0), 0, 'each key has its own');
});

t.test('another rate has a bucket of its own', async (t) => {
  const buckets = new TokenBuckets(10);
  const [fast, slow] = [
    { count: 5, periodMs: 60_000 },
    { count: 1, periodMs: 86_400_000 },
  ];
  buckets.take('a', slow, 0);
  t.equal(buckets.waitMs('a', fast, 0), 0);
  t.ok(buckets.waitMs('a', slow, 0) > 0);
});

t.test('the memory is bounded, and those used last are remembered', async (t) => {
  const buckets = new TokenBuckets(2);
  const rate = { count: 1, periodMs: 1_000 };
  for (const key of ['a', 'b', 'a', 'c']) buckets.take(key, rate, 0);
  t.equal(buckets.size, 2);
  t.ok(buckets.waitMs('a', rate, 0) > 0);
  t.equal(buckets.waitMs('b', rate, 0), 0);
});

t.test('a rate is a whole number per unit of time', async (t) => {
  t.same(parseRate('10/m'), { count: 10, periodMs: 60_000 });
  t.same(parseRate('5000/d'), { count: 5_000, periodMs: 86_400_000 });
  for (const text of ['', '0/m', '-1/m', '1.5/s', '10', '10/w', '10/ms', '99999999/s', ' 1/s'])
    t.notOk(parseRate(text), text);
  t.same(partOf({ count: 10, periodMs: 1 }, 4), { count: 3, periodMs: 1 });
  t.same(partOf({ count: 1, periodMs: 1 }, 64), { count: 1, periodMs: 1 });
});
