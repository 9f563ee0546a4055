import { pino } from 'pino';
import t from 'tap';
import { LogLimit } from '../../src/telemetry/log-limit.js';
import { VirtualClock } from '../fixtures/clock.js';

t.test('lines beyond the limit are left out, and then counted', async (t) => {
  const lines: string[] = [];
  const logger = pino({}, { write: (line: string) => void lines.push(JSON.parse(line).msg) });
  const clock = new VirtualClock();
  const limit = new LogLimit({ logger, clock, lines: 2, intervalMs: 1_000, maxKeys: 2 });
  for (let index = 0; index < 5; index += 1) limit.log('a', {}, 'refused');
  limit.log('b', {}, 'other');
  t.same(lines, ['refused', 'refused', 'other']);
  await clock.advance(1_000);
  limit.log('a', {}, 'refused');
  t.same(lines.slice(3), ['3 more lines like these were left out', 'refused']);
});
