import t from 'tap';
import { LocalApp } from '../../src/uses/local-app.js';
import { Use } from '../../src/uses/use.js';
import { testApp } from '../fixtures/app.js';
import { VirtualClock } from '../fixtures/clock.js';
import { testDeployment } from '../fixtures/deployment.js';

const owner = { seatFreed() {}, wokeUp() {} };

/** An app with ready instances shop-1, shop-2 ... from the oldest to the youngest, used in the reverse order. */
function setUp(count: number, scaleMax: number) {
  const app = testApp({ concurrency: { target: 2, max: 4 }, scale: { min: 0, max: scaleMax } });
  const instances = Array.from({ length: count }, (_, index) => ({ id: `shop-${index + 1}`, readyAt: index }));
  let over = 0;
  const record = { app, removed: false, deployment: testDeployment(...instances), version: 'v' };
  const local = new LocalApp(record, () => (over += 1));
  const clock = new VirtualClock();
  const uses = instances
    .toReversed()
    .map(
      ({ id }) =>
        new Use(local, { id, address: { host: '127.0.0.1', port: 1 }, host: 'here', runtime: 'process' }, owner, clock),
    );
  for (const use of uses) local.addUse(use);
  return { local, over: () => over, take: (times: number) => Array.from({ length: times }, () => local.takeSeat()) };
}

const idsOf = (seats: ({ instanceId: string } | undefined)[]) => seats.map((seat) => seat?.instanceId);

t.test('the oldest instance is filled to its target first, so that surplus ones fall idle', async (t) => {
  const { take } = setUp(3, 3);
  const seats = take(5);
  t.same(idsOf(seats), ['shop-1', 'shop-1', 'shop-2', 'shop-2', 'shop-3']);
  seats[0]?.release();
  seats[2]?.release();
  t.same(idsOf(take(3)), ['shop-1', 'shop-2', 'shop-3']);
});

t.test('at their targets the least loaded is taken up to its max, and then none', async (t) => {
  const { take } = setUp(2, 2);
  take(4);
  t.same(idsOf(take(5)), ['shop-1', 'shop-2', 'shop-1', 'shop-2', undefined]);
});

t.test('a place beyond the target is reported where there may be another instance, and only there', async (t) => {
  const wide = setUp(1, 2);
  wide.take(2);
  t.equal(wide.over(), 0);
  wide.take(3);
  t.equal(wide.over(), 2, 'the last one got no place');
  const narrow = setUp(2, 2);
  narrow.take(8);
  t.equal(narrow.over(), 0);
  const unused = setUp(1, 1);
  unused.local.see({
    app: unused.local.app,
    removed: false,
    deployment: testDeployment({ id: 'shop-1' }, { id: 'shop-2' }),
    version: 'w',
  });
  unused.take(3);
  t.equal(unused.over(), 1, 'another node has one that this node does not use yet');
});

t.test('a use that is closed is passed over', async (t) => {
  const { local, take } = setUp(2, 2);
  const first = local.uses.get('shop-1');
  if (first) first.closed = true;
  t.same(idsOf(take(5)), ['shop-2', 'shop-2', 'shop-2', 'shop-2', undefined]);
});
