import fc from 'fast-check';
import t from 'tap';
import { fairShare } from '../../src/uses/fair-share.js';

const users = (...names: string[]) => Object.fromEntries(names.map((name) => [name, { since: 0 }]));

t.test('a node alone has all of it, whether it is registered yet or not', async (t) => {
  t.same(fairShare({ target: 50, max: 100 }, users(), 'me'), { target: 50, max: 100 });
  t.same(fairShare({ target: 50, max: 100 }, users('me'), 'me'), { target: 50, max: 100 });
});

t.test('where nodes outnumber max each has one', async (t) => {
  t.same(fairShare({ target: 1, max: 2 }, users('a', 'b', 'c'), 'c'), { target: 1, max: 1 });
});

t.test('the shares of max add up to it, differ by one at most, and the targets reach the target', async () => {
  const names = fc.uniqueArray(fc.string({ minLength: 1, maxLength: 4 }), { minLength: 1, maxLength: 12 });
  fc.assert(
    fc.property(names, fc.integer({ min: 1, max: 200 }), fc.integer({ min: 0, max: 200 }), (nodes, target, more) => {
      const concurrency = { target, max: target + more };
      const shares = nodes.map((node) => fairShare(concurrency, users(...nodes), node));
      const total = (key: 'target' | 'max') => shares.reduce((sum, share) => sum + share[key], 0);
      const largest = Math.max(...shares.map(({ max }) => max));
      const smallest = Math.min(...shares.map(({ max }) => max));
      if (total('max') !== Math.max(concurrency.max, nodes.length)) throw new Error(`max adds up to ${total('max')}`);
      if (largest - smallest > 1 || smallest < 1) throw new Error(`from ${smallest} to ${largest}`);
      if (total('target') < target) throw new Error(`target adds up to ${total('target')}`);
      if (shares.some((share) => share.target > share.max || share.target < 1)) throw new Error('target beyond max');
    }),
  );
});
