import t from 'tap';
import { claimMs, isOrdering, isPatient, isPausing } from '../../src/certify/domain-record.js';

const now = 1_800_000_000_000;
const minuteMs = 60_000;
const dayMs = 24 * 60 * minuteMs;

t.test('what other nodes wrote is believed as far as their clocks can be right', async (t) => {
  const order = (ms: number) => isOrdering({ order: { by: 'other', until: now + ms } }, 1, now);
  t.equal(order(-1), false, 'it is over');
  t.equal(order(minuteMs), true);
  t.equal(order(claimMs(1) + 30_000), true, 'its clock is half a minute ahead');
  t.equal(order(365 * dayMs), false, 'it cannot mean that');
  const pause = (times: number, ms: number) => isPausing({ failed: { times, retryAt: now + ms, reason: '' } }, now);
  t.equal(pause(1, minuteMs), true);
  t.equal(pause(1, 10 * minuteMs), false, 'the first pause is a minute');
  t.equal(pause(20, dayMs), true);
  t.equal(pause(20, 3 * dayMs), false);
  const patience = (ms: number) =>
    isPatient({ failed: { times: 1, retryAt: 0, reason: '', patience: { a: now + ms } } }, 'a', now);
  t.equal(patience(6 * dayMs), true);
  t.equal(patience(60 * dayMs), false);
  t.equal(isPatient({}, 'a', now), false);
});
