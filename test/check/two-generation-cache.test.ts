import t from 'tap';
import { TwoGenerationCache } from '../../src/check/two-generation-cache.js';

t.test('what is asked for stays, what is not is forgotten, and the bound in bytes holds', async (t) => {
  const cache = new TwoGenerationCache<number>(20_000);
  cache.set('kept', 1);
  for (let index = 0; index < 1_000; index += 1) {
    cache.set(`other-${index}`, index);
    t.equal(cache.get('kept'), 1);
    t.ok(cache.bytes <= 20_000);
  }
  t.equal(cache.get('other-0'), undefined);
  t.equal(cache.get('other-999'), 999);
});

t.test('long keys leave room for fewer of them', async (t) => {
  const cache = new TwoGenerationCache<number>(20_000);
  for (let index = 0; index < 1_000; index += 1) {
    cache.set(`${index}${'x'.repeat(5_000)}`, index);
    t.ok(cache.bytes <= 20_000);
  }
});

t.test('a cleared cache is empty', async (t) => {
  const cache = new TwoGenerationCache<number>(1_000);
  cache.set('a', 1);
  cache.clear();
  t.equal(cache.get('a'), undefined);
  t.equal(cache.bytes, 0);
});
