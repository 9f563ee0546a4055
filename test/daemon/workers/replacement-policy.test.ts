import t from 'tap';
import { countDeath, isHopeless, pauseMs, steadyMs } from '../../../src/daemon/workers/replacement-policy.js';

t.test('a worker that had served for long is replaced at once, however many did before it', (t) => {
  t.equal(countDeath(5, steadyMs), 0);
  t.equal(pauseMs(0), 0);
  t.end();
});

t.test('one that ends early is replaced at once the first time, and then after longer and longer pauses', (t) => {
  let deaths = 0;
  const pauses = Array.from({ length: 12 }, () => pauseMs((deaths = countDeath(deaths, undefined))));
  t.same(pauses.slice(0, 5), [0, 100, 200, 400, 800]);
  t.equal(pauses.at(-1), 10_000, 'within bounds');
  t.equal(countDeath(2, steadyMs - 1), 3, 'serving for a moment does not count');
  t.end();
});

t.test('it is given up only where no other worker serves', (t) => {
  t.notOk(isHopeless(100, 1));
  t.notOk(isHopeless(5, 0));
  t.ok(isHopeless(6, 0));
  t.end();
});
