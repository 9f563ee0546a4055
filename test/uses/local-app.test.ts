import t from 'tap';
import fc from 'fast-check';
import { LocalApp } from '../../src/uses/local-app.js';
import type { Seat } from '../../src/uses/seat.js';
import { Use } from '../../src/uses/use.js';
import { testApp } from '../fixtures/app.js';
import { VirtualClock } from '../fixtures/clock.js';
import { testDeployment } from '../fixtures/deployment.js';

const owner = { seatFreed() {}, wokeUp() {} };

/** An app with ready instances shop-1, shop-2 ... from the oldest to the youngest, used in the reverse order. */
function setUp(count: number, scaleMax: number, concurrency = { target: 2, max: 4, clientShare: 0.75 }) {
  const app = testApp({ concurrency, scale: { min: 0, max: scaleMax } });
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
  return {
    local,
    uses,
    over: () => over,
    take: (times: number) => Array.from({ length: times }, () => local.takeSeat()),
  };
}

/** A client that asks for places, and those that it got. */
function client(local: LocalApp, name: string | undefined) {
  const holder = { client: name };
  const seats: Seat[] = [];
  const take = (times: number) => {
    for (let time = 0; time < times; time += 1) {
      const seat = local.takeSeat(holder);
      if (seat) seats.push(seat);
    }
    return seats.length;
  };
  const release = (times: number) => seats.splice(0, times).forEach((seat) => seat.release());
  return { take, release, seats };
}

const idsOf = (seats: ({ instanceId: string } | undefined)[]) => seats.map((seat) => seat?.instanceId);

t.test('a request that belongs to an instance gets a seat there while one is free, else elsewhere', async (t) => {
  const { local, take } = setUp(2, 2);
  const its = { client: undefined, prefers: 'shop-2' };
  t.same(
    Array.from({ length: 5 }, () => local.takeSeat(its)?.instanceId),
    ['shop-2', 'shop-2', 'shop-2', 'shop-2', 'shop-1'],
  );
  t.equal(local.takeSeat({ client: undefined, prefers: 'gone' })?.instanceId, 'shop-1');
  t.same(idsOf(take(1)), ['shop-1']);
});

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

const places = (max: number, clientShare = 0.75) => ({ target: max, max, clientShare });

t.test('one client has at most three quarters of the places, and another one finds what is left', async (t) => {
  const { local } = setUp(1, 1, places(100));
  const [greedy, other] = [client(local, 'a'), client(local, 'b')];
  t.equal(greedy.take(200), 75);
  t.ok(local.heldBack, 'there are places, for others');
  t.equal(other.take(10), 10);
  greedy.release(1);
  t.equal(greedy.take(1), 74, 'of what is left a client with so many gets no more');
  other.release(10);
  t.equal(greedy.take(200), 75);
});

t.test('of two places or more no client has all, and the only place is for anybody', async (t) => {
  const most = (max: number, count = 1) => client(setUp(count, count, places(max)).local, 'a').take(max * count + 1);
  t.same(
    [1, 2, 3, 4, 5, 8, 40].map((max) => most(max)),
    [1, 1, 2, 3, 4, 6, 30],
  );
  t.equal(most(1, 3), 2, 'of three instances with one place each');
});

t.test('while there may be more instances a client with few places may have all of them', async (t) => {
  t.equal(client(setUp(1, 2, places(2)).local, 'a').take(3), 2);
});

t.test('a client that nobody knows is one of its own, and a share of 1 keeps nothing back', async (t) => {
  t.equal(client(setUp(1, 1, places(8)).local, undefined).take(9), 8);
  t.equal(client(setUp(1, 1, places(8, 1)).local, 'a').take(9), 8);
});

t.test('what is held back from a client that waits another one gets, and what nobody may pass waits', async (t) => {
  const { local } = setUp(1, 1, places(4));
  const [greedy, other] = [client(local, 'a'), client(local, 'b')];
  greedy.take(4);
  local.waiting = 1;
  t.equal(other.take(1), 1, 'not behind it');
  t.equal(other.take(1), 1, 'all are full');
  t.notOk(local.heldBack);
  greedy.release(1);
  t.equal(client(local, 'c').take(1), 0, 'that place is for who waits');
});

t.test('places are counted by client as they are, whatever comes and goes', async (t) => {
  const step = fc.record({ who: fc.nat(3), take: fc.boolean(), times: fc.integer({ min: 1, max: 6 }) });
  const steps = fc.array(
    fc.oneof({ weight: 9, arbitrary: step }, { weight: 1, arbitrary: fc.constant('end' as const) }),
  );
  const property = fc.property(steps, (story) => {
    const { local } = setUp(3, 3, places(5));
    const clients = ['a', 'b', 'c', 'd'].map((name) => client(local, name));
    /** By the rule, from nothing but the seats. */
    const mayTake = ({ seats }: (typeof clients)[number]) => {
      const open = [...local.uses.values()];
      const free = open.reduce((sum, { max, inflight }) => sum + max - inflight, 0);
      const mine = seats.filter(({ instanceId }) => local.uses.has(instanceId)).length;
      return free > 0 && (mine === 0 || (mine < 3 * free && mine + 1 < 5 * open.length));
    };
    for (const each of story) {
      const [oldest] = local.uses.values();
      if (each === 'end') {
        if (oldest && local.uses.size > 1) local.removeUse(oldest);
        continue;
      }
      const one = clients[each.who] as (typeof clients)[number];
      if (!each.take) one.release(each.times);
      for (let time = 0; each.take && time < each.times; time += 1) {
        const expected = one.seats.length + (mayTake(one) ? 1 : 0);
        if (one.take(1) !== expected) return false;
      }
    }
    return true;
  });
  t.doesNotThrow(() => fc.assert(property, { numRuns: 500 }));
});
