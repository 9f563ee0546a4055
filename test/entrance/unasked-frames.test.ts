import t from 'tap';
import { type Unasked, UnaskedFrames } from '../../src/entrance/unasked-frames.js';

/** How many are let through one after the other, each so many milliseconds and bytes after the one before. */
function taken(kind: Unasked, everyMs: number, bytes: number): number {
  const frames = new UnaskedFrames(0, 0);
  let count = 0;
  while (count < 100_000 && frames.spend(kind, count * everyMs, count * bytes)) count += 1;
  return count;
}

t.test('what comes at once is bounded', async (t) => {
  t.equal(taken('ping', 0, 0), 1_000);
  t.equal(taken('reset', 0, 0), 200);
  t.equal(taken('settings', 0, 0), 100);
});

t.test('what comes slowly is not', async (t) => {
  t.equal(taken('ping', 10, 0), 100_000);
  t.equal(taken('reset', 50, 0), 100_000);
  t.equal(taken('settings', 100, 0), 100_000);
});

t.test('pings may come as fast as bytes flow, which they are not themselves', async (t) => {
  t.equal(taken('ping', 0, 16_384), 100_000);
  t.ok(taken('ping', 0, 34) < 1_100, 'a ping and its answer');
  t.ok(taken('reset', 0, 300) < 250, 'a request and its reset');
});
