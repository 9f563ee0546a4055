import t from 'tap';
import { RemoteCheck } from '../../src/terminate/remote-check.js';
import { LocalApp } from '../../src/uses/local-app.js';
import type { Seat } from '../../src/uses/seat.js';
import type { Deployment } from '../../src/model/deployment.js';
import type { Address } from '../../src/model/instance.js';
import { testApp } from '../fixtures/app.js';
import { settle, VirtualClock } from '../fixtures/clock.js';
import { testDeployment } from '../fixtures/deployment.js';

const limitMs = 18_000;
const app = testApp({ name: 'shop' });
const address = { host: '10.0.0.2', port: 20_001 };
const seat: Seat = {
  ...{ app, instanceId: 'shop-1', address, location: { host: 'there', runtime: 'process' }, occupant: undefined },
  countOnlyTraffic: () => {},
  busyFor: () => {},
  touch: () => {},
  release: () => {},
};
const remote = () => testDeployment({ host: 'there', address });

/** A seat at an instance of the machine `there`, which takes no connection and whose nodes are alive but do not beat. */
function setUp() {
  const clock = new VirtualClock();
  const local = new LocalApp({ app, removed: false, deployment: remote(), version: 'v1' });
  const world = {
    isKnown: true,
    answers: (_signal: AbortSignal): Promise<boolean> => Promise.resolve(false),
    outage: undefined as string | undefined,
    isHostLive: true,
    beatAt: -1,
    removeOutOfReach: (_deployment: Deployment): Promise<void> => Promise.resolve(),
  };
  const probed: Address[] = [];
  const removed: Deployment[] = [];
  const asked: [string, number][] = [];
  const check = new RemoteCheck({
    apps: { get: (name) => (name === app.name && world.isKnown ? local : undefined) },
    store: {
      get outage() {
        return world.outage;
      },
    },
    peers: {
      isSeen: ({ host }) => host === 'there' && world.isHostLive,
      hasBeatenSince: ({ host }, since) => {
        asked.push([host, since]);
        return world.beatAt > since;
      },
    },
    probe: (target, signal) => {
      probed.push(target.address);
      return world.answers(signal);
    },
    clock,
    removeOutOfReach: (deployment) => {
      removed.push(deployment);
      return world.removeOutOfReach(deployment);
    },
    limitMs,
  });
  const see = (deployment: Deployment) => local.see({ app, removed: false, deployment, version: 'v2' });
  /** The outcome as far as it is known. */
  const look = () => {
    const outcome: { alive?: boolean; error?: Error } = {};
    void check.isAlive(seat).then(
      (alive) => (outcome.alive = alive),
      (error: Error) => (outcome.error = error),
    );
    return outcome;
  };
  return { clock, world, probed, removed, asked, see, look };
}

t.test('an instance that is in the CMDB no more, or whose app is not known any more, is not alive', async (t) => {
  const { look, see, world, probed } = setUp();
  see(testDeployment({ id: 'shop-2', host: 'there' }));
  const gone = look();
  await settle();
  t.same(gone, { alive: false });
  world.isKnown = false;
  const forgotten = look();
  await settle();
  t.same(forgotten, { alive: false });
  t.same(probed, [], 'nothing was asked for it');
});

t.test('one that takes a connection again is alive, at the first attempt or a later one', async (t) => {
  const { look, world, clock, probed } = setUp();
  const outcome = look();
  await clock.advance(1_000);
  t.same(outcome, {});
  world.answers = () => Promise.resolve(true);
  await clock.advance(100);
  t.same(outcome, { alive: true });
  t.same(probed.at(-1), address);
  t.equal(probed.length, 12, 'an attempt each 100 ms');
  t.equal(clock.pending, 0);
});

t.test(
  'a live node of its machine that beats and leaves it there is believed, one that beat before is not',
  async (t) => {
    const { look, world, clock, asked } = setUp();
    await clock.advance(5_000);
    world.beatAt = 4_999;
    const outcome = look();
    await clock.advance(500);
    t.same(outcome, {}, 'a beat before the connection was refused proves nothing');
    t.same(asked[0], ['there', 5_000]);
    world.beatAt = 5_400;
    await clock.advance(100);
    t.same(outcome, { alive: true });
  },
);

t.test('what its own nodes remove meanwhile is not alive', async (t) => {
  const { look, see, clock, removed } = setUp();
  const outcome = look();
  await clock.advance(300);
  see(testDeployment());
  await clock.advance(100);
  t.same(outcome, { alive: false });
  t.same(removed, [], 'by them, not by this node');
});

t.test('of a machine without live nodes it is removed as lost, once that is known', async (t) => {
  const { look, see, world, clock, removed } = setUp();
  world.removeOutOfReach = async () => see(testDeployment());
  const outcome = look();
  await clock.advance(12_000);
  t.same([outcome, removed.length], [{}, 0], 'while it counts as live, nothing is removed');
  world.isHostLive = false;
  await clock.advance(200);
  t.same(outcome, { alive: false });
  t.same(removed, [remote()]);
  t.equal(clock.pending, 0);
});

t.test('what cannot be removed as another node holds it is tried again until the limit, then left alone', async (t) => {
  const { look, world, clock, removed } = setUp();
  world.isHostLive = false;
  const outcome = look();
  await clock.advance(limitMs - 1);
  t.same(outcome, {});
  await clock.advance(1);
  t.same(outcome, { alive: true });
  t.equal(removed.length, limitMs / 100);
  t.equal(clock.pending, 0);
});

t.test(
  'while the store is away nobody is judged: it is left alone at once, or as soon as the store goes',
  async (t) => {
    const { look, world, clock, probed, removed } = setUp();
    const earlier = look();
    await clock.advance(250);
    world.outage = 'connection refused';
    world.isHostLive = false;
    const later = look();
    await clock.advance(100);
    t.same([earlier, later], [{ alive: true }, { alive: true }]);
    t.same([probed.length, removed.length], [3, 0]);
  },
);

t.test('an attempt that hangs is given up after some seconds, one that fails counts as no answer', async (t) => {
  const { look, world, clock, probed } = setUp();
  const aborted: boolean[] = [];
  world.answers = (signal) =>
    new Promise((_resolve, reject) => {
      signal.addEventListener('abort', () => {
        aborted.push(true);
        reject(new Error('aborted'));
      });
    });
  const outcome = look();
  await clock.advance(2 * 3_600);
  t.same([outcome, aborted.length, probed.length], [{}, 2, 3]);
  world.answers = () => Promise.resolve(true);
  await clock.advance(3_600);
  t.same(outcome, { alive: true });
});

t.test('a store that fails while it is to be removed fails the look, and leaves no timer', async (t) => {
  const { look, world, clock } = setUp();
  world.isHostLive = false;
  world.removeOutOfReach = () => Promise.reject(new Error('no answer within 2 s'));
  const outcome = look();
  await settle();
  t.match(outcome, { error: { message: 'no answer within 2 s' } });
  t.equal(clock.pending, 0);
});
