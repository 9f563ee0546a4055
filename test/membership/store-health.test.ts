import t from 'tap';
import { StoreHealth } from '../../src/membership/store-health.js';
import { VirtualClock } from '../fixtures/clock.js';

function setUp() {
  const clock = new VirtualClock();
  return { clock, store: new StoreHealth(10_000, clock) };
}

t.test('a store is away until it has answered, and again from the first failure on', async (t) => {
  const { clock, store } = setUp();
  t.equal(store.outage, 'not yet reached');
  t.equal(store.failed(new Error('refused')), true);
  t.equal(store.failed('refused again'), false, 'only the first failure in a row is news');
  t.equal(store.outage, 'refused again');
  await clock.advance(5);
  t.equal(store.answered('one', 5), false);
  t.same([store.outage, store.identity, store.answeredAt], [undefined, 'one', 5]);
  t.equal(store.failed(new Error('refused')), true);
  t.equal(store.identity, 'one');
});

t.test('it is steady when the same one has answered for a TTL without a gap', async (t) => {
  const { clock, store } = setUp();
  store.answered('one', 0);
  await clock.advance(9_999);
  t.notOk(store.isSteady);
  await clock.advance(1);
  t.ok(store.isSteady);
  store.failed(new Error('refused'));
  t.notOk(store.isSteady);
  store.answered('one', 10_000);
  await clock.advance(10_001);
  t.ok(store.isSteady);
  store.answered('one', 10_000);
  t.notOk(store.isSteady, 'an answer that took longer than a session lives is a gap');
});

t.test('another one is told once, and for a TTL it is neither complete nor familiar', async (t) => {
  const { clock, store } = setUp();
  t.ok(store.isComplete);
  t.notOk(store.isFamiliar);
  store.answered('one', 0);
  await clock.advance(10_000);
  t.ok(store.isFamiliar);
  t.equal(store.answered('two', 10_000), true);
  t.equal(store.answered('two', 10_000), false);
  t.same([store.isSteady, store.isComplete, store.isFamiliar], [false, false, false]);
  let isComplete = false;
  void store.complete().then(() => (isComplete = true));
  await clock.advance(9_999);
  t.notOk(isComplete);
  await clock.advance(1);
  t.ok(isComplete);
  t.same([store.isSteady, store.isComplete, store.isFamiliar], [true, true, true]);
});
