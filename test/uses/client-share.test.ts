import fc from 'fast-check';
import t from 'tap';
import { mostOf } from '../../src/uses/client-share.js';

t.test('however many apps fill their queues, the sum is bounded and a newcomer always finds a place', async () => {
  const arrivals = fc.array(fc.integer({ min: 0, max: 8 }), { maxLength: 400 });
  fc.assert(
    fc.property(arrivals, fc.integer({ min: 40, max: 200 }), (apps, max) => {
      const queues = new Map<number, number>();
      let total = 0;
      for (const app of apps) {
        const length = queues.get(app) ?? 0;
        if (length < mostOf(max - total, 0.5)) {
          queues.set(app, length + 1);
          total += 1;
        } else if (length === 0) throw new Error(`an app without a queue is refused at ${total} of ${max}`);
      }
      if (total >= max) throw new Error(`${total} of ${max} wait`);
      const most = Math.max(0, ...queues.values());
      if (most > Math.ceil(max / 2)) throw new Error(`one app has ${most} of ${max}`);
    }),
  );
});
