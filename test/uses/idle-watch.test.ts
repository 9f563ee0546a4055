import t from 'tap';
import { watchIdle } from '../../src/uses/idle-watch.js';
import { LocalApp } from '../../src/uses/local-app.js';
import { Use } from '../../src/uses/use.js';
import { testApp } from '../fixtures/app.js';
import { VirtualClock } from '../fixtures/clock.js';

function setUp() {
  const clock = new VirtualClock();
  const app = testApp({ idleTtlMs: 20_000 });
  const local = new LocalApp({ app, removed: false, version: '1', deployment: { app: app.name, instances: [] } });
  const owner = { seatFreed: () => {}, wokeUp: () => {} };
  const use = new Use(
    local,
    { id: 'shop-1', address: { host: '127.0.0.1', port: 80 }, host: 'here', runtime: 'process' },
    owner,
    clock,
  );
  local.addUse(use);
  const toldAt: number[] = [];
  watchIdle(use, clock, () => toldAt.push(clock.monotonic()));
  return { clock, use, toldAt };
}

t.test('a use that sends nothing is told of after half the idle TTL, and again each time that passes', async (t) => {
  const { clock, toldAt } = setUp();
  await clock.advance(35_000);
  t.same(toldAt, [10_000, 20_000, 30_000]);
});

t.test('what is under way keeps it, and the time counts from its end', async (t) => {
  const { clock, use, toldAt } = setUp();
  const seat = use.take();
  await clock.advance(25_000);
  seat.release();
  await clock.advance(9_000);
  t.same(toldAt, []);
  await clock.advance(2_000);
  t.same(toldAt, [35_000]);
});

t.test('a connection holds it only while data flows, also after it was told of', async (t) => {
  const { clock, use, toldAt } = setUp();
  const seat = use.take();
  seat.countOnlyTraffic();
  await clock.advance(12_000);
  seat.touch();
  await clock.advance(18_000);
  t.same(toldAt, [10_000, 22_000]);
});
