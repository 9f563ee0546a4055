import t from 'tap';
import { oneDecimal } from '../../src/telemetry/one-decimal.js';

t.test('durations leave with one decimal at most, also those of phases', async (t) => {
  const phases = { create: 18.808092999999644, start: 20, ready: 1 / 3 };
  t.same(oneDecimal({ ms: 2.25, app: 'shop', phases }), {
    ...{ ms: 2.3, app: 'shop' },
    phases: { create: 18.8, start: 20, ready: 0.3 },
  });
  t.equal(phases.ready, 1 / 3, 'what it was given stays as it was');
});

t.test('nothing else is touched or copied', async (t) => {
  const whole = {
    at: 1_764_000_000_123,
    list: [0.123],
    err: Object.assign(new Error('no'), { ms: 0.123 }),
    none: null,
  };
  t.equal(oneDecimal(whole), whole);
  t.same(oneDecimal({ far: Infinity, not: NaN }), { far: Infinity, not: NaN });
});
