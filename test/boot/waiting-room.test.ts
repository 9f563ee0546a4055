import t from 'tap';
import { WaitingRoom } from '../../src/boot/waiting-room.js';
import { LocalApp } from '../../src/uses/local-app.js';
import { Use } from '../../src/uses/use.js';
import { RequestError } from '../../src/model/errors.js';
import { testApp } from '../fixtures/app.js';
import { VirtualClock } from '../fixtures/clock.js';
import { testDeployment } from '../fixtures/deployment.js';

const owner = { seatFreed() {}, wokeUp() {} };

function setUp(overrides: Parameters<typeof testApp>[0] = {}) {
  const clock = new VirtualClock();
  const app = testApp({
    name: 'shop',
    concurrency: { target: 1, max: 1, clientShare: 0.75 },
    queue: { max: 3, timeoutMs: 1_000 },
    ...overrides,
  });
  const local = new LocalApp({ app, removed: false, deployment: testDeployment(), version: 'v' });
  const room = new WaitingRoom(local, clock);
  const open = () =>
    local.uses.set(
      'shop-1',
      new Use(
        local,
        { id: 'shop-1', address: { host: '127.0.0.1', port: 1 }, host: 'here', runtime: 'process' },
        owner,
        clock,
      ),
    );
  return { clock, local, room, open };
}

t.test('who came first is served first, one by one as places come free', async (t) => {
  const { local, room, open } = setUp();
  const never = new AbortController().signal;
  const order: number[] = [];
  const waiting = [1, 2, 3].map((n) => room.wait(never).then((seat) => (order.push(n), seat)));
  t.equal(local.waiting, 3);
  open();
  room.serve();
  const first = await waiting[0];
  t.same(order, [1]);
  first?.release();
  room.serve();
  (await waiting[1])?.release();
  room.serve();
  (await waiting[2])?.release();
  t.same(order, [1, 2, 3]);
  t.equal(local.waiting, 0);
});

t.test('a newcomer does not overtake those who wait', async (t) => {
  const { local, room, open } = setUp();
  const waiting = room.wait(new AbortController().signal);
  open();
  t.equal(local.takeSeat(), undefined);
  room.serve();
  (await waiting).release();
  local.takeSeat()?.release();
});

t.test('beyond queue.max a request is refused at once', async (t) => {
  const { room } = setUp();
  const gone = new AbortController();
  const waiting = [1, 2, 3].map(() => room.wait(gone.signal).catch(() => {}));
  await t.rejects(room.wait(gone.signal), { code: 'queue_full', retryAfterS: 1 });
  gone.abort(new Error('gone'));
  await Promise.all(waiting);
});

t.test('who waited for queue.timeout is sent away, and nothing is left', async (t) => {
  const { clock, local, room } = setUp();
  const waiting = t.rejects(room.wait(new AbortController().signal), { code: 'queue_timeout' });
  await clock.advance(1_000);
  await waiting;
  t.equal(local.waiting, 0);
  t.equal(clock.pending, 0);
});

t.test('a client that goes leaves the queue, and nothing is left', async (t) => {
  const { clock, local, room } = setUp();
  const client = new AbortController();
  const waiting = t.rejects(room.wait(client.signal), { message: 'gone' });
  client.abort(new Error('gone'));
  await waiting;
  t.equal(local.waiting, 0);
  t.equal(clock.pending, 0);
  await t.rejects(room.wait(client.signal), { message: 'gone' }, 'one that has gone already does not wait');
});

t.test('when the boot fails everyone gets the same error', async (t) => {
  const { room, local } = setUp();
  const never = new AbortController().signal;
  const error = new RequestError('boot_failed');
  const waiting = [1, 2, 3].map(() => t.rejects(room.wait(never), error));
  room.dismiss(error);
  await Promise.all(waiting);
  t.equal(local.waiting, 0);
});

/** Requests of a client that wait; `served` says whose turn came when. */
function waitersOf(room: WaitingRoom) {
  const never = new AbortController().signal;
  const served: string[] = [];
  const refused: string[] = [];
  const wait = (client: string | undefined, name = String(client)) =>
    void room.wait(never, { client }).then(
      (seat) => (served.push(name), seat.release(), room.serve()),
      () => refused.push(name),
    );
  return { served, refused, wait };
}
const settled = () => new Promise((resolve) => setImmediate(resolve));

t.test('clients take turns, each in its own order, and unknown ones as they come', async (t) => {
  const { room, open, local } = setUp({ queue: { max: 10, timeoutMs: 1_000 } });
  const { served, wait } = waitersOf(room);
  for (const name of ['a1', 'a2', 'a3', 'a4']) wait('a', name);
  wait(undefined, 'x');
  for (const name of ['b1', 'b2']) wait('b', name);
  wait(undefined, 'y');
  open();
  room.serve();
  await settled();
  t.same(served, ['a1', 'x', 'b1', 'y', 'a2', 'b2', 'a3', 'a4']);
  t.equal(local.waiting, 0);
  t.equal(room.size, 0);
});

t.test('in a full room the last request of the client with most gives way to one with fewer', async (t) => {
  const { room } = setUp({ queue: { max: 4, timeoutMs: 1_000 } });
  const { refused, wait } = waitersOf(room);
  for (const name of ['a1', 'a2', 'a3']) wait('a', name);
  wait('b', 'b1');
  wait('c', 'c1');
  wait(undefined, 'x');
  await settled();
  t.same(refused, ['a3', 'a2'], 'an unknown one is a client of its own');
  wait('a', 'a4');
  wait('b', 'b2');
  await settled();
  t.same(refused, ['a3', 'a2', 'a4', 'b2'], 'nobody gives way to one that would then have as many');
  t.equal(room.size, 4);
  room.dismiss(new RequestError('shutting_down'));
  await settled();
});
