import { randomBytes } from 'node:crypto';
import { pino } from 'pino';
import t from 'tap';
import { Peers } from '../../src/membership/peers.js';
import { NodeSession } from '../../src/membership/session.js';
import { defaultSessionTiming as timing } from '../../src/membership/session-timing.js';
import { StoreHealth } from '../../src/membership/store-health.js';
import type { StoreListener } from '../../src/membership/store-listener.js';
import type { Beat, Cmdb, Session } from '../../src/cmdb/cmdb.js';
import { settle, VirtualClock } from '../fixtures/clock.js';

interface Store {
  down: boolean;
  identity: string;
  revoke: boolean;
  others: readonly Session[];
  readonly beats: { session: Session; revoked: readonly string[] }[];
}

function setUp() {
  const clock = new VirtualClock();
  const remote: Store = { down: false, identity: 'one', revoke: false, others: [], beats: [] };
  const beat = async (session: Session, revoked: readonly string[] = []): Promise<Beat> => {
    if (remote.down) throw new Error('connection refused');
    remote.beats.push({ session, revoked });
    return { identity: remote.identity, sessions: [session, ...remote.others], revoked: remote.revoke };
  };
  const renewed: string[] = [];
  const errors: string[] = [];
  const write = (line: string) => void errors.push((JSON.parse(line) as { msg: string }).msg);
  let replaced = 0;
  const store = new StoreHealth(timing.ttlMs, clock);
  const node = {
    ...{ store, timing, clock, logger: pino({ level: 'error' }, { write }) },
    process: { pid: 1, startTime: '1', bootId: 'b' },
    isProvedDead: ({ process: { bootId } }: Session) => bootId !== 'b',
  };
  const listener: StoreListener = {
    sessionRenewed: async () => void renewed.push(session.incarnation),
    storeReplaced: () => void (replaced += 1),
  };
  const heard = { ...node, listeners: [listener] };
  const peers = new Peers({ ...heard, sight: { host: 'here' } });
  const session = new NodeSession({ ...heard, peers, host: 'here', randomBytes, cmdb: { beat } as Cmdb });
  return { clock, remote, store, peers, session, renewed, errors, replaced: () => replaced };
}

t.test('it beats every three seconds, counting up, and may judge after ten without a gap', async (t) => {
  const { clock, remote, peers, session } = setUp();
  await session.start();
  t.equal(peers.mayJudge, false);
  await clock.advance(9_999);
  t.equal(peers.mayJudge, false);
  await clock.advance(1);
  t.equal(peers.mayJudge, true);
  t.same(
    remote.beats.map(({ session: { beats } }) => beats),
    [0, 1, 2, 3],
  );
});

t.test('an outage is named, does not end the session, and judging begins anew after it', async (t) => {
  const { clock, remote, store, peers, session, renewed } = setUp();
  await session.start();
  await clock.advance(12_000);
  remote.down = true;
  await clock.advance(30_000);
  t.equal(store.outage, 'connection refused');
  t.equal(peers.mayJudge, false);
  t.equal(session.renewIfFrozen(), true, 'it goes on with what it knows');
  remote.down = false;
  await clock.advance(3_000);
  t.equal(store.outage, undefined);
  t.equal(peers.mayJudge, false);
  await clock.advance(10_000);
  t.equal(peers.mayJudge, true);
  t.same(renewed, []);
});

t.test(
  'a process that was frozen for longer than a session lives registers anew before it sends anything',
  async (t) => {
    const { clock, remote, session, renewed } = setUp();
    await session.start();
    const old = session.incarnation;
    // The clock goes on without its timers, as it does for a stopped process.
    clock.monotonic = () => 11_000;
    t.equal(session.renewIfFrozen(), false);
    t.not(session.incarnation, old);
    t.same(renewed, [session.incarnation]);
    await settle();
    t.match(remote.beats.at(-1), { session: { incarnation: session.incarnation, beats: 0 }, revoked: [old] });
  },
);

t.test('a session that another node revoked is renewed', async (t) => {
  const { clock, remote, session, renewed } = setUp();
  await session.start();
  const old = session.incarnation;
  remote.revoke = true;
  await clock.advance(3_000);
  remote.revoke = false;
  t.same(renewed, [session.incarnation]);
  t.not(session.incarnation, old);
});

t.test('another store is told, and for one TTL it is not taken for complete', async (t) => {
  const { clock, remote, store, session, replaced } = setUp();
  await session.start();
  t.equal(store.isComplete, true);
  remote.identity = 'two';
  await clock.advance(3_000);
  t.equal(replaced(), 1);
  t.equal(store.isComplete, false);
  await clock.advance(10_000);
  t.equal(store.isComplete, true);
});

t.test('a step of the wall clock changes nothing', async (t) => {
  const { clock, peers, session, renewed } = setUp();
  await session.start();
  await clock.advance(12_000);
  clock.stepWall(3_600_000);
  t.equal(session.renewIfFrozen(), true);
  t.equal(peers.mayJudge, true);
  clock.stepWall(-7_200_000);
  t.equal(session.renewIfFrozen(), true);
  t.same(renewed, []);
});

t.test('a node that leaves takes itself out', async (t) => {
  const { remote, session } = setUp();
  await session.start();
  await session.leave();
  t.same(remote.beats.at(-1)?.revoked, [session.incarnation]);
});

t.test('nothing of a node that has left is written again, whatever still asks for a beat', async (t) => {
  const { clock, remote, session } = setUp();
  await session.start();
  await session.leave();
  const { length } = remote.beats;
  await session.beat();
  t.equal(session.verdict('stranger'), 'unknown');
  await clock.advance(60_000);
  t.equal(remote.beats.length, length);
});

t.test(
  'another machine of the same name is complained of, revoked no more, and nothing is judged while it lives',
  async (t) => {
    const { clock, remote, peers, session, errors } = setUp();
    const rival = (incarnation: string, beats: number) => ({
      ...{ incarnation, beats, host: 'here' },
      process: { pid: 9, startTime: '1', bootId: 'another machine' },
    });
    remote.others = [rival('first', 5)];
    await session.start();
    t.equal(peers.rival, undefined, 'it may be what this machine left before a restart');
    await clock.advance(12_000);
    t.equal(peers.mayJudge, true);
    remote.others = [rival('renewed', 0)];
    await clock.advance(3_000);
    t.match(peers.rival, { bootId: 'another machine', pid: 9 });
    t.equal(peers.mayJudge, false);
    for (let beats = 1; beats < 30; beats += 1) {
      remote.others = [rival('renewed', beats)];
      await clock.advance(3_000);
    }
    t.equal(peers.mayJudge, false);
    t.ok(remote.beats.slice(-29).every(({ revoked }) => revoked.length === 0));
    t.match(errors[0], /another machine has the same node.host \(here\): set node.host to a name of its own/);
    t.equal(errors.length, 2, 'once a minute');
    remote.others = [];
    await clock.advance(15_000);
    t.equal(peers.rival, undefined);
    await clock.advance(10_000);
    t.equal(peers.mayJudge, true);
  },
);
