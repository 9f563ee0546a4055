import { pino } from 'pino';
import t from 'tap';
import { Peers } from '../../src/membership/peers.js';
import { defaultSessionTiming } from '../../src/membership/session-timing.js';
import type { Session } from '../../src/cmdb/cmdb.js';
import { VirtualClock } from '../fixtures/clock.js';

const session = (incarnation: string, beats: number): Session => ({
  incarnation,
  host: 'there',
  beats,
  process: { pid: 1, startTime: '1', bootId: 'b' },
});

/** The peers of a node of the machine `there`, as it hears of them. `mayJudge` from the beginning: its store is steady. */
function setUp(isProvedDead: (session: Session) => boolean = () => false) {
  const clock = new VirtualClock();
  const store = { isSteady: true };
  const silent: string[] = [];
  const peers = new Peers({
    ...{ store, sight: { host: 'there' }, process: session('me', 0).process, timing: defaultSessionTiming },
    ...{ isProvedDead, clock, logger: pino({ level: 'silent' }) },
    listeners: [{ hostsSilent: async (hosts) => void silent.push(...hosts) }],
  });
  /** A beat that was asked for `tookMs` before it is answered now. */
  const observe = (sessions: readonly Session[], tookMs = 0) => peers.observe(sessions, clock.monotonic() - tookMs);
  return { clock, store, peers, observe, silent };
}

t.test('a session whose counter moves is alive', async (t) => {
  const { clock, peers, observe } = setUp();
  observe([session('a', 1)]);
  await clock.advance(11_000);
  observe([session('a', 2)]);
  await clock.advance(11_000);
  t.equal(peers.verdict('a'), 'alive');
});

t.test('one whose counter stands still is silent, but only to a node that may judge', async (t) => {
  const { clock, store, peers, observe } = setUp();
  observe([session('a', 1)]);
  await clock.advance(12_000);
  observe([session('a', 1)]);
  t.equal(peers.verdict('a'), 'alive');
  await clock.advance(1);
  t.equal(peers.verdict('a'), 'silent');
  store.isSteady = false;
  t.equal(peers.verdict('a'), 'alive');
});

t.test(
  'one that is silent for longer than the outage grace is revoked, and gone once the store has dropped it',
  async (t) => {
    const { clock, peers, observe } = setUp();
    observe([session('a', 1)]);
    await clock.advance(300_001);
    t.equal(peers.verdict('a'), 'silent');
    t.same(peers.toRevoke(), ['a']);
    observe([]);
    t.same(peers.toRevoke(), []);
    await clock.advance(1);
    t.equal(peers.verdict('a'), 'unknown');
    await clock.advance(1);
    observe([]);
    t.equal(peers.verdict('a'), 'gone');
  },
);

t.test('one whose process is proved dead is gone at once and revoked', async (t) => {
  const { peers, observe } = setUp(({ incarnation }) => incarnation === 'dead');
  observe([session('dead', 5)]);
  t.equal(peers.verdict('dead'), 'gone');
  t.same(peers.toRevoke(), ['dead']);
  observe([]);
  t.equal(peers.verdict('dead'), 'gone', 'also when the store has dropped it');
});

t.test('one that no beat showed is unknown until a beat sent after the question lacks it too', async (t) => {
  const { clock, peers, observe } = setUp();
  t.equal(peers.verdict('new'), 'unknown');
  await clock.advance(10);
  observe([], 11);
  t.equal(peers.verdict('new'), 'unknown', 'this beat was on its way before the question');
  observe([session('new', 0)]);
  t.equal(peers.verdict('new'), 'alive');
});

t.test('the first live session of this machine leads it; one that is silent, gone or elsewhere does not', async (t) => {
  const dead = new Set<string>();
  const { clock, store, peers, observe } = setUp(({ incarnation }) => dead.has(incarnation));
  const all = (beats: number) => ['c', 'b', 'a'].map((incarnation) => session(incarnation, beats));
  t.equal(peers.leader, undefined);
  observe([...all(1), { ...session('0', 1), host: 'elsewhere' }]);
  t.equal(peers.leader, 'a');
  await clock.advance(12_001);
  observe([session('a', 1), session('b', 2), session('c', 2)]);
  t.equal(peers.leader, 'b', 'a is silent');
  store.isSteady = false;
  t.equal(peers.leader, 'a', 'but nobody may judge yet');
  store.isSteady = true;
  dead.add('b');
  observe([session('b', 2), session('c', 3)]);
  t.equal(peers.leader, 'c', 'b is proved dead');
});

t.test('machines fall silent with their last session, once they were seen to live; this one never does', async (t) => {
  const { clock, peers, observe, silent } = setUp();
  const elsewhere = (beats: number) => ({ ...session('b', beats), host: 'elsewhere' });
  observe([session('a', 1), elsewhere(1)]);
  t.ok(peers.isHostLive('elsewhere'));
  await clock.advance(10_000);
  observe([session('a', 1), elsewhere(2)]);
  t.ok(peers.isHostLive('elsewhere'));
  await clock.advance(12_001);
  observe([session('a', 1), elsewhere(2)]);
  t.notOk(peers.isHostLive('elsewhere'));
  t.ok(peers.isHostLive('there'));
  t.same(silent, ['elsewhere']);
});
