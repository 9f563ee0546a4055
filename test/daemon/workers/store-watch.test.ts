import { pino } from 'pino';
import t from 'tap';
import { StoreWatch } from '../../../src/daemon/workers/store-watch.js';
import type { Beat, Cmdb, Session } from '../../../src/cmdb/cmdb.js';
import { VirtualClock } from '../../fixtures/clock.js';

function setUp() {
  const clock = new VirtualClock();
  const store = { down: false, identity: 'one', left: [] as boolean[] };
  const beat = async (session: Session, revoked: readonly string[] = []): Promise<Beat> => {
    if (store.down) throw new Error('connection refused');
    store.left.push(session.beats === 0 && revoked.length === 1 && revoked[0] === session.incarnation);
    return { identity: store.identity, sessions: [], revoked: false };
  };
  let replaced = 0;
  const watch = new StoreWatch({
    cmdb: { beat } as Cmdb,
    host: 'here',
    process: { pid: 1, startTime: '1', bootId: 'b' },
    clock,
    logger: pino({ level: 'silent' }),
    timing: { ttlMs: 10_000, beatMs: 3_000 },
    onReplaced: () => void (replaced += 1),
  });
  return { clock, store, watch, replaced: () => replaced };
}

t.test('it asks every three seconds and never stays in the store as a node', async (t) => {
  const { clock, store, watch } = setUp();
  t.ok(watch.health.outage);
  await watch.start();
  t.equal(watch.health.outage, undefined);
  t.equal(watch.health.identity, 'one');
  await clock.advance(9_000);
  t.same(store.left, [true, true, true, true]);
  await watch.stop();
  await clock.advance(9_000);
  t.equal(store.left.length, 4);
  t.equal(clock.pending, 0);
});

t.test('an outage is named and does not count as another store; another store is told once', async (t) => {
  const { clock, store, watch, replaced } = setUp();
  await watch.start();
  store.down = true;
  await clock.advance(3_000);
  t.equal(watch.health.outage, 'connection refused');
  store.down = false;
  await clock.advance(3_000);
  t.equal(watch.health.outage, undefined);
  t.equal(replaced(), 0);
  store.identity = 'two';
  await clock.advance(9_000);
  t.equal(replaced(), 1);
  await watch.stop();
});

t.test('a look that others ask for meanwhile is shared, and finds another store once', async (t) => {
  const { store, watch, replaced } = setUp();
  await watch.start();
  store.identity = 'two';
  await Promise.all([watch.look(), watch.look()]);
  t.equal(watch.health.identity, 'two');
  t.equal(replaced(), 1);
  t.equal(store.left.length, 2);
  await watch.stop();
});
