import { pino } from 'pino';
import t from 'tap';
import { LocalApps } from '../../src/uses/local-apps.js';
import { StoreHealth } from '../../src/membership/store-health.js';
import { Uses } from '../../src/uses/uses.js';
import type { AppRecord, Cmdb } from '../../src/cmdb/cmdb.js';
import { emptyDeployment, findInstance, startDrain } from '../../src/model/deployment.js';
import { RequestError } from '../../src/model/errors.js';
import { idleAt } from '../../src/model/lifetime.js';
import type { Verdict } from '../../src/model/wake/verdict.js';
import { testApp } from '../fixtures/app.js';
import { settle, VirtualClock } from '../fixtures/clock.js';
import { testDeployment } from '../fixtures/deployment.js';

const app = testApp({ name: 'shop', scale: { min: 0, max: 3 } });

/** A node that uses both instances of a shop, with something under way to each. */
async function setUp() {
  const clock = new VirtualClock();
  let writes = 0;
  let record: AppRecord = {
    ...{ app, removed: false, version: 'v0' },
    deployment: testDeployment({}, { id: 'shop-2', address: { host: '127.0.0.1', port: 2 } }),
  };
  const store = { isAway: false };
  const update: Cmdb['update'] = async (_app, change) => {
    await Promise.resolve();
    if (store.isAway) throw new RequestError('cmdb_unavailable');
    const { deployment: before } = record;
    record = { ...record, deployment: change(before, app), version: `v${(writes += 1)}` };
    return { ...record, before };
  };
  const cmdb = { find: async () => record, update } as unknown as Cmdb;
  const apps = new LocalApps(cmdb);
  const names = ['first'];
  const session = {
    get incarnation() {
      return names.at(-1) as string;
    },
    ensureRegistered: async () => names.at(-1) as string,
    isFormer: (name: string) => names.slice(0, -1).includes(name),
  };
  const health = new StoreHealth(10_000, clock);
  health.answered('one', 0);
  const options = { apps, session, store: health, clock, logger: pino({ level: 'silent' }) };
  const uses = new Uses({ ...options, onSeatFreed: () => {}, onEnded: () => {} });
  const local = await apps.load('shop');
  if (!local) throw new Error('there is a shop');
  const cuts: string[] = [];
  const seats = await Promise.all(
    ['shop-1', 'shop-2'].map(async (id) => {
      const seat = (await uses.open(local, id))?.take();
      if (!seat) throw new Error(`${id} is ready`);
      seat.occupant = { cut: (reason) => void cuts.push(`${id}: ${reason}`) };
      return seat;
    }),
  );
  return {
    ...{ apps, uses, cuts, seats, update, local, clock },
    stored: (id: string) => findInstance(record.deployment, id),
    ...{ store, names },
    /** The store comes back empty and has its apps again; this node registers anew. */
    async loseStore() {
      record = { ...record, deployment: emptyDeployment('shop'), version: 'lost' };
      health.answered(`store ${names.length + 1}`, clock.monotonic());
      names.push(`life ${names.length + 1}`);
      await uses.renew(clock.monotonic() + 55_000);
      await apps.refreshAll();
    },
  };
}

t.test(
  'a store that came back empty gets back all instances that are used, and nothing under way is cut',
  async (t) => {
    const { stored, cuts, loseStore } = await setUp();
    await loseStore();
    t.same(cuts, []);
    for (const id of ['shop-1', 'shop-2']) t.match(stored(id), { state: 'ready', users: { 'life 2': {} } });
  },
);

t.test('so does one that drains: what is under way finishes, and then it may end', async (t) => {
  const { apps, uses, cuts, seats, stored, update, loseStore } = await setUp();
  await update('shop', (deployment) => startDrain(deployment, 'shop-1', 'lifetime', 1));
  await apps.refreshAll();
  await loseStore();
  t.same(cuts, []);
  t.match(stored('shop-1'), { state: 'draining', end: { reason: 'lifetime' }, users: { 'life 2': {} } });
  t.equal(uses.activity().get('shop-1')?.inflight, 1);
  seats[0]?.release();
  await settle();
  t.same(stored('shop-1')?.users, {}, 'released');
});

t.test('while an instance drains, requests that belong to it still get their seats there, and no others', async (t) => {
  const { apps, seats, stored, update, local, clock, cuts } = await setUp();
  await update('shop', (deployment) => startDrain(deployment, 'shop-1', 'lifetime', 1));
  await apps.refreshAll();
  const its = { client: undefined, prefers: 'shop-1' };
  t.equal(local.takeSeat()?.instanceId, 'shop-2');
  const next = local.takeSeat(its);
  t.equal(next?.instanceId, 'shop-1');
  seats[0]?.release();
  await settle();
  t.match(stored('shop-1'), { state: 'draining', users: { first: {} } }, 'still used');
  // In the same tick: the drain has not gone on yet.
  next?.release();
  const last = local.takeSeat(its);
  t.equal(last?.instanceId, 'shop-1');
  await settle();
  t.match(stored('shop-1')?.users, { first: {} });
  last?.release();
  await settle();
  t.same(stored('shop-1')?.users, {}, 'released');
  t.equal(local.takeSeat(its)?.instanceId, 'shop-2', 'its clients move');

  await update('shop', (deployment) => startDrain(deployment, 'shop-2', 'lifetime', 1));
  await apps.refreshAll();
  const other = { client: undefined, prefers: 'shop-2' };
  t.equal(local.takeSeat(other)?.instanceId, 'shop-2');
  await clock.advance(app.drainTimeoutMs + 1);
  t.ok(cuts.length > 0);
  t.equal(local.takeSeat(other), undefined, 'not beyond drainTimeout');
});

t.test('of a draining instance nobody gets a seat while this node registers anew, or ends', async (t) => {
  const its = { client: undefined, prefers: 'shop-1' };
  const one = await setUp();
  await one.update('shop', (deployment) => startDrain(deployment, 'shop-1', 'lifetime', 1));
  await one.apps.refreshAll();
  await one.loseStore();
  t.not(one.local.takeSeat(its)?.instanceId, 'shop-1');
  const two = await setUp();
  await two.update('shop', (deployment) => startDrain(deployment, 'shop-1', 'lifetime', 1));
  await two.apps.refreshAll();
  const released = two.uses.releaseAll(1_000);
  t.equal(two.local.takeSeat(its), undefined);
  for (const seat of two.seats) seat.release();
  await two.clock.advance(2_000);
  await released;
});

t.test('of a draining instance that two nodes use, the second one is a user again as well', async (t) => {
  const { apps, cuts, stored, update, loseStore } = await setUp();
  await update('shop', (deployment) => startDrain(deployment, 'shop-1', 'lifetime', 1));
  await apps.refreshAll();
  const drained = stored('shop-1');
  const other = { ...drained, users: { other: { since: 1 } } } as NonNullable<typeof drained>;
  const losing = loseStore();
  // Right behind the loss: the other node was faster.
  await update('shop', (deployment) => ({ ...deployment, instances: [other, ...deployment.instances] }));
  await losing;
  t.same(cuts, []);
  t.same(Object.keys(stored('shop-1')?.users ?? {}), ['other', 'life 2']);
});

t.test('a store that goes away again before it has all back cuts nothing; it gets it when it returns', async (t) => {
  const { apps, store, cuts, clock, stored, local, loseStore } = await setUp();
  store.isAway = true;
  const losing = loseStore();
  await clock.advance(10_000);
  await apps.refreshAll();
  t.same(cuts, [], 'also where the empty store was read');
  t.same(
    [...local.uses.values()].map(({ closed }) => closed),
    [true, true],
    'nothing new is sent meanwhile',
  );
  store.isAway = false;
  await clock.advance(1_000);
  await losing;
  t.same(cuts, []);
  for (const id of ['shop-1', 'shop-2']) t.match(stored(id), { state: 'ready', users: { 'life 2': {} } });
  t.same(
    [...local.uses.values()].map(({ closed }) => closed),
    [false, false],
  );
});

t.test('nor does one that goes away and comes back empty once more', async (t) => {
  const { apps, store, cuts, clock, stored, loseStore } = await setUp();
  store.isAway = true;
  const first = loseStore();
  await clock.advance(2_000);
  await apps.refreshAll();
  store.isAway = false;
  const second = loseStore();
  await clock.advance(2_000);
  await Promise.all([first, second]);
  t.same(cuts, []);
  for (const id of ['shop-1', 'shop-2']) t.match(stored(id), { state: 'ready', users: { 'life 3': {} } });
});

t.test('a store that returns too late to get an instance back has it gone', async (t) => {
  const { store, cuts, clock, stored, loseStore } = await setUp();
  store.isAway = true;
  const losing = loseStore();
  await clock.advance(56_000);
  store.isAway = false;
  await clock.advance(1_000);
  await losing;
  t.same(cuts.toSorted(), ['shop-1: instance_gone', 'shop-2: instance_gone']);
  t.equal(stored('shop-1'), undefined);
});

t.test(
  'an instance comes back beside others that were booted meanwhile only where the app may have so many',
  async (t) => {
    const { store, cuts, clock, update, loseStore } = await setUp();
    store.isAway = true;
    const losing = loseStore();
    await clock.advance(12_000);
    store.isAway = false;
    await update('shop', () => testDeployment({ id: 'shop-3' }, { id: 'shop-4' }));
    await clock.advance(1_000);
    await losing;
    t.equal(cuts.length, 1, 'scale.max is 3');
  },
);

t.test('who registers anew once more, for another reason, still gives the store back what it lost', async (t) => {
  const { uses, store, names, cuts, clock, stored, loseStore } = await setUp();
  store.isAway = true;
  const losing = loseStore();
  await clock.advance(2_000);
  names.push('thawed');
  const renewing = uses.renew();
  store.isAway = false;
  await clock.advance(2_000);
  await Promise.all([losing, renewing]);
  t.same(cuts, []);
  for (const id of ['shop-1', 'shop-2']) t.match(stored(id), { state: 'ready', users: { thawed: {} } });
});

t.test('an instance that nobody asked for is as active as the one it succeeds', async (t) => {
  const { uses, seats, local, clock, update } = await setUp();
  for (const seat of seats) seat.release();
  const since = clock.now();
  await clock.advance(1_000);
  const fresh = testDeployment({ id: 'shop-3', users: { first: { since: clock.now() } } }).instances;
  await update('shop', (current) => ({ ...current, instances: [...current.instances, ...fresh] }));
  local.see({ app, removed: false, version: 'v9', deployment: testDeployment({}, ...fresh) });
  t.equal(uses.takeUp(local, 'shop-3')?.lastActiveAt, since);
});

/** Of a request that is no activity. */
const verdict: Verdict = { rule: 'bots', wakes: false, counts: false, asleep: { status: 503, retryAfterS: 1 } };

t.test('requests that do not count are served, and do not keep their instance awake', async (t) => {
  const { seats, local, clock, stored } = await setUp();
  for (const seat of seats) seat.release();
  const since = clock.now();
  for (let round = 0; round < 30; round += 1) {
    await clock.advance(10_000);
    local.takeSeat({ client: 'bot', verdict })?.release();
  }
  const kept = stored('shop-1');
  t.match(kept, { users: { first: { quietSince: since } } }, 'it is used, by nobody that counts');
  t.equal(kept && idleAt(kept, app), since + app.idleTtlMs);
  t.ok(local.uses.get('shop-1'), 'what comes next is warm');
  local.takeSeat({ client: 'person' })?.release();
  await settle();
  t.strictSame(Object.keys(stored('shop-1')?.users['first'] ?? {}), ['since'], 'a person uses it');
  await clock.advance(200_000);
  t.match(stored('shop-1'), { users: {}, lastActiveAt: since + 300_000 }, 'given up when nothing comes');
});

t.test('nor does one that takes long, or a connection that it switched', async (t) => {
  const { seats, local, clock, stored } = await setUp();
  for (const seat of seats) seat.release();
  const since = clock.now();
  const long = local.takeSeat({ client: 'bot', verdict });
  const socket = local.takeSeat({ client: 'bot', verdict });
  socket?.countOnlyTraffic();
  for (let round = 0; round < 30; round += 1) {
    await clock.advance(10_000);
    socket?.touch();
  }
  t.match(stored('shop-1'), { users: { first: { quietSince: since } } });
  long?.release();
  socket?.release();
  t.equal(local.uses.get('shop-1')?.inflight, 0);
  t.equal(local.uses.get('shop-1')?.lastActiveAt, since);
});

t.test('an instance that a node uses anew for requests that do not count is as active as it was', async (t) => {
  const { uses, seats, local, clock, stored } = await setUp();
  local.holds = 1;
  for (const seat of seats) seat.release();
  const since = clock.now();
  await clock.advance(200_000);
  t.equal(local.uses.size, 0);
  local.waiting = 1;
  local.waitingUncounted = 1;
  const use = await uses.open(local, 'shop-1');
  use?.take({ client: 'bot', verdict }).release();
  t.equal(use?.lastActiveAt, since);
  await clock.advance(1_000);
  t.match(stored('shop-1'), { users: { first: { quietSince: since } } });
  local.waiting = 0;
  local.waitingUncounted = 0;
});

t.test('a node that registers anew reports again that nothing counts', async (t) => {
  const { seats, local, clock, stored, loseStore } = await setUp();
  for (const seat of seats) seat.countOnlyTraffic();
  const since = clock.now();
  await clock.advance(100_000);
  t.match(stored('shop-1'), { users: { first: { quietSince: since } } });
  await loseStore();
  await clock.advance(100_000);
  t.match(stored('shop-1'), { users: { 'life 2': { quietSince: since } } });
  t.equal(local.uses.get('shop-1')?.inflight, 1);
});
