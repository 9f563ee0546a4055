import t from 'tap';
import { TwoGenerationCache } from '../../src/check/two-generation-cache.js';

t.test('what is asked for stays, what is not is forgotten, and the bound holds', async (t) => {
  const cache = new TwoGenerationCache<number>(100);
  cache.set('kept', 1);
  for (let index = 0; index < 1_000; index += 1) {
    cache.set(`other-${index}`, index);
    t.equal(cache.get('kept'), 1);
    t.ok(cache.size <= 100);
  }
  t.equal(cache.get('other-0'), undefined);
  t.equal(cache.get('other-999'), 999);
});

t.test('a cleared cache is empty', async (t) => {
  const cache = new TwoGenerationCache<number>(10);
  cache.set('a', 1);
  cache.clear();
  t.equal(cache.get('a'), undefined);
});
