import t from 'tap';
import { OrderBudget, type Outcome } from '../../src/certify/order-budget.js';
import { sealedDocuments, sealedStore } from '../fixtures/sealed.js';

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;

function nodes() {
  const store = sealedStore();
  const time = { now: 1_000_000_000_000 };
  const clock = { now: () => time.now, monotonic: () => time.now, after: () => ({ cancel() {} }) };
  const budget = () => {
    const own = new OrderBudget({ documents: sealedDocuments(store), clock });
    /** Why the order may not begin; undefined if it came to `outcome`. */
    const take = async (app: string, domain: string, isRenewal: boolean, outcome: Outcome = 'certificate') => {
      const grant = await own.take(app, domain, isRenewal);
      if ('refused' in grant) return grant.refused;
      await grant.settle(outcome);
      return undefined;
    };
    return { take };
  };
  return { time, store, budget };
}

t.test('one app cannot use up what others may order, and gets its own back within an hour', async (t) => {
  const { time, budget } = nodes();
  const own = budget();
  for (let times = 0; times < 20; times += 1) t.equal(await own.take('greedy', `d${times}.example`, false), undefined);
  t.match(await own.take('greedy', 'more.example', false), { reason: /greedy/, waitMs: 180_000 });
  t.equal(await own.take('modest', 'modest.example', false), undefined);
  time.now += hourMs / 20;
  t.equal(await own.take('greedy', 'more.example', false), undefined);
});

t.test('all nodes together order no more for a registered domain than authorities allow', async (t) => {
  const { time, budget } = nodes();
  const two = [budget(), budget()];
  const take = (index: number, domain: string, isRenewal = false) =>
    two[index % 2]!.take(`app ${index}`, domain, isRenewal);
  for (let index = 0; index < 40; index += 1) t.equal(await take(index, `h${index}.shop.co.uk`), undefined);
  t.match(await take(41, 'one-more.shop.co.uk'), { reason: /shop\.co\.uk/ });
  t.equal(await take(42, 'h1.shop.co.uk', true), undefined, 'what authorities do not count either');
  t.equal(await take(43, 'other.co.uk'), undefined, 'the public suffix is not what somebody registered');
  t.equal(await take(44, 'me.github.io'), undefined);
  t.equal(await take(45, '*.other.co.uk'), undefined);
  time.now += (7 * dayMs) / 40;
  t.equal(await take(46, 'one-more.shop.co.uk'), undefined);
});

t.test(
  'all nodes together order no more than an account may; what was refused for that costs its domain nothing',
  async (t) => {
    const { time, budget } = nodes();
    const own = budget();
    for (let index = 0; index < 200; index += 1)
      t.equal(await own.take(`app ${index}`, `d${index}.example`, false), undefined);
    for (let times = 0; times < 100; times += 1)
      t.match(await own.take(`later ${times}`, 'refused.example', false), { reason: /three hours/ });
    time.now += 3 * hourMs;
    t.equal(await own.take('app', 'refused.example', false), undefined);
  },
);

t.test('orders that give no certificate keep nobody from one for the same registered domain', async (t) => {
  const { budget } = nodes();
  const own = budget();
  for (let index = 0; index < 100; index += 1)
    t.equal(await own.take(`stranger ${index}`, `x${index}.victim.example`, false, 'none'), undefined);
  t.equal(await own.take('victim', 'victim.example', false), undefined);
  for (let index = 0; index < 99; index += 1)
    t.equal(await own.take(`any ${index}`, `d${index}.example`, false, 'none'), undefined);
  t.match(await own.take('app', 'late.example', false), { reason: /three hours/ }, 'they count for all together');
});

t.test('an order that another node began costs one', async (t) => {
  const { budget } = nodes();
  const own = budget();
  for (let index = 0; index < 201; index += 1)
    t.equal(await own.take(`app ${index}`, 'shop.example', false, 'unasked'), undefined);
  t.equal(await own.take('app', 'shop.example', true, 'unasked'), undefined);
});

t.test('a node whose clock is ahead, or somebody who writes to the store, ends no budget for ever', async (t) => {
  const { time, store, budget } = nodes();
  time.now += 365 * dayMs;
  t.equal(await budget().take('app', 'shop.example', false), undefined);
  time.now -= 365 * dayMs;
  const own = budget();
  t.equal(await own.take('app', 'shop.example', false), undefined);
  for (const name of store.all.keys()) store.all.set(name, 'nonsense');
  t.equal(await own.take('app', 'shop.example', false), undefined);
});
