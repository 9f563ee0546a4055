import { pino } from 'pino';
import t from 'tap';
import type { Runtime } from '../../src/runtime/runtime.js';
import { Reconciler, type ReconcilerOptions } from '../../src/terminate/reconciler.js';
import { VirtualClock } from '../fixtures/clock.js';

t.test('two comparisons come soon after a start, and again after another store took over', async (t) => {
  const clock = new VirtualClock();
  const comparedAt: number[] = [];
  const runtime = { name: 'process', list: async () => (comparedAt.push(clock.monotonic()), []) } as unknown as Runtime;
  const peers = { mayJudge: true };
  const reconciler = new Reconciler({
    cmdb: { async *list() {} },
    runtimes: new Map([['process', runtime]]),
    session: { leadsHost: true },
    peers,
    store: { isComplete: true },
    clock,
    sight: { host: 'here' },
    logger: pino({ level: 'silent' }),
    periodMs: 60_000,
  } as unknown as ReconcilerOptions);
  reconciler.start();
  await clock.advance(80_000);
  t.same(comparedAt, [6_000, 12_000, 72_000]);
  peers.mayJudge = false;
  reconciler.again();
  await clock.advance(10_000);
  peers.mayJudge = true;
  await clock.advance(72_000);
  t.same(comparedAt.slice(3), [92_000, 98_000, 158_000], 'as soon as the node may judge by it');
  await reconciler.stop();
});
