import t from 'tap';
import {
  addInstance,
  bootSucceeded,
  confirmGone,
  giveUp,
  instanceDied,
  startDrain,
  startTerminate,
} from '../../src/model/deployment.js';
import { dayOf, oldestDay, summed, usageOfChange, usageSoFar } from '../../src/model/usage.js';
import { testDeployment, testInstance } from '../fixtures/deployment.js';

const noon = Date.parse('2026-11-30T12:00:00Z');
const hour = 3_600_000;
const running = testDeployment({ id: 'shop-1', startedAt: noon });
const ready = { address: { host: '127.0.0.1', port: 1 }, boot: {}, user: 'me', startedAt: noon + 1_000 };

t.test('only what leaves has run, whatever takes it away', async (t) => {
  const now = noon + hour;
  const hourOfToday = [{ day: '2026-11-30', counts: { runningMs: hour } }];
  const draining = startDrain(running, 'shop-1', 'idle', now);
  const ending = startTerminate(draining, 'shop-1', { owner: 'me', reason: 'idle', stopTimeoutMs: 1 }, now);
  const rows = [
    ['drains', draining, []],
    ['is being ended', ending, []],
    ['has ended', confirmGone(ending, 'shop-1'), hourOfToday],
    ['has died', instanceDied(running, 'shop-1', 'exit code 1', now), hourOfToday],
    ['is given up', giveUp(running, 'shop-1', now), hourOfToday],
    ['is beside another', addInstance(running, testInstance({ id: 'shop-2' })), []],
  ] as const;
  for (const [what, after, expected] of rows) t.same(usageOfChange(running, after, now), expected, what);
});

t.test('a life is split at midnight in UTC, and may have ended before it was noticed', async (t) => {
  const gone = confirmGone(running, 'shop-1');
  t.same(usageOfChange(running, gone, noon + 37 * hour), [
    { day: '2026-11-30', counts: { runningMs: 12 * hour } },
    { day: '2026-12-01', counts: { runningMs: 24 * hour } },
    { day: '2026-12-02', counts: { runningMs: hour } },
  ]);
  const ran = { id: 'shop-1', endedAt: noon + 1_500 };
  t.same(usageOfChange(running, gone, noon + 37 * hour, ran), [{ day: '2026-11-30', counts: { runningMs: 1_500 } }]);
  const other = { id: 'shop-2', endedAt: noon + 1_500 };
  t.equal(usageOfChange(running, gone, noon + 37 * hour, other).length, 3, 'it is told of another instance');
  t.same(usageOfChange(running, gone, noon - hour), [], 'by a clock that is behind');
  t.ok(usageOfChange(testDeployment({ startedAt: 0 }), gone, noon).length < 402, 'by a clock that is far off');
});

t.test('a boot that never became ready ran from when its runtime says', async (t) => {
  const booting = testDeployment({ state: 'booting', owner: 'me', cause: 'request' });
  const failed = confirmGone(booting, 'shop-1');
  t.same(usageOfChange(booting, failed, noon), []);
  t.same(usageOfChange(booting, failed, noon, { id: 'shop-1', startedAt: noon - 50 }), [
    { day: '2026-11-30', counts: { runningMs: 50 } },
  ]);
});

t.test('a boot counts by its cause when it is ready, and nothing adopted is a boot', async (t) => {
  const booting = testDeployment({ state: 'booting', owner: 'me', cause: 'load' });
  const booted = bootSucceeded(booting, 'shop-1', ready, noon);
  t.equal(booted.instances[0]?.startedAt, noon + 1_000);
  t.same(usageOfChange(booting, booted, noon), [{ day: '2026-11-30', counts: { 'boots.load': 1 } }]);
  t.same(usageOfChange(testDeployment(), addInstance(testDeployment(), testInstance({ id: 'x' })), noon), []);
});

t.test('an instance that was given up and is found again is counted on from then', async (t) => {
  const lost = giveUp(running, 'shop-1', noon + hour);
  const found = addInstance(lost, testInstance({ id: 'shop-1', startedAt: noon }));
  const gone = confirmGone(found, 'shop-1');
  t.same(usageOfChange(found, gone, noon + 3 * hour), [{ day: '2026-11-30', counts: { runningMs: 2 * hour } }]);
  const many = Array.from({ length: 20 }, (_, index) => `i${index}`);
  const all = many.reduce((next, id) => giveUp(addInstance(next, testInstance({ id })), id, noon), lost);
  t.equal(all.givenUp?.length, 8, 'and few are remembered');
});

t.test('what runs now is told beside what was stored', async (t) => {
  const two = addInstance(running, testInstance({ id: 'shop-2', startedAt: noon + hour }));
  t.same([...summed(usageSoFar(two, noon + 2 * hour))], [['2026-11-30', { runningMs: 3 * hour }]]);
  t.same(usageSoFar(testDeployment({}), noon), [], 'not of a record of an older version');
});

t.test('days are those of UTC', async (t) => {
  t.equal(dayOf(Date.parse('2026-11-30T23:59:59.999Z')), '2026-11-30');
  t.equal(oldestDay(noon, 1), '2026-11-30');
  t.equal(oldestDay(noon, 62), '2026-09-30');
});
