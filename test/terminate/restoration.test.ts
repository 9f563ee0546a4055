import { pino } from 'pino';
import t from 'tap';
import { StoreHealth } from '../../src/membership/store-health.js';
import { LocalApps } from '../../src/uses/local-apps.js';
import { OwnedInstances } from '../../src/uses/owned-instances.js';
import type { AppRecord, Cmdb } from '../../src/cmdb/cmdb.js';
import type { App } from '../../src/model/app.js';
import { type Deployment, emptyDeployment, findInstance } from '../../src/model/deployment.js';
import type { FoundInstance, Runtime } from '../../src/runtime/runtime.js';
import { Restoration } from '../../src/terminate/restoration.js';
import { RequestError } from '../../src/model/errors.js';
import { testApp } from '../fixtures/app.js';
import { settle, VirtualClock } from '../fixtures/clock.js';
import { testInstance, testRevision } from '../fixtures/deployment.js';

/** An emptied store that has its app again, and a machine on which these containers run. */
function setUp(ids: readonly string[], changes: { app?: Partial<App>; revision?: string } = {}) {
  const app = testApp(changes.app);
  const clock = new VirtualClock();
  let deployment = emptyDeployment('shop');
  const record = (): AppRecord => ({ app, removed: false, deployment, version: 'v' });
  const update: Cmdb['update'] = async (_app, change) => {
    const before = deployment;
    deployment = change(before, app);
    return { ...record(), before };
  };
  const cmdb = {
    find: async () => record(),
    update,
    async *list() {
      if (deployment.instances.length > 0) yield record();
    },
  } as unknown as Cmdb;
  const machine = { isDown: false, deaf: new Set<string>(), stopped: [] as string[] };
  const found = (id: string): FoundInstance => ({
    ...{ id, app: 'shop', running: true, address: { host: '127.0.0.1', port: 1 } },
    revision: changes.revision ?? testRevision,
  });
  const runtime = {
    name: 'process',
    list: async () => {
      if (machine.isDown) throw new Error('no answer');
      return ids.map(found);
    },
    inspect: async (id: string) => ({ state: 'running', listening: !machine.deaf.has(id) }),
    stop: async (id: string) => void machine.stopped.push(id),
  } as unknown as Runtime;
  let restored = 0;
  const apps = new LocalApps(cmdb);
  const store = new StoreHealth(10_000, clock);
  const away = { attempts: 0, is: false };
  const ensureRegistered = async () => {
    away.attempts += 1;
    if (away.is) throw new RequestError('cmdb_unavailable');
    return 'me';
  };
  const restoration = new Restoration({
    ...{ store, session: { ensureRegistered }, uses: { renew: async () => {} } },
    owned: new OwnedInstances(apps, clock),
    ...{ cmdb, apps, sight: { host: 'here' }, pins: true, clock, timing: { ttlMs: 10_000 } },
    runtimes: new Map([['process', runtime]]),
    logger: pino({ level: 'silent' }),
    onRestored: () => void (restored += 1),
  });
  t.teardown(() => restoration.stop());
  const isSettled = async (name = 'shop') => {
    let is = false;
    void restoration.settled({ name, app }).then(() => (is = true));
    await settle();
    return is;
  };
  return {
    ...{ restoration, away, clock, machine, isSettled },
    stored: (id: string) => findInstance(deployment, id),
    change: (next: (current: Deployment) => Deployment) => void (deployment = next(deployment)),
    restored: () => restored,
  };
}

t.test('what an emptied store does not know is taken in before its app may boot', async (t) => {
  const { restoration, clock, stored, isSettled, restored } = setUp(['shop-1']);
  restoration.begin('replaced');
  t.notOk(await isSettled());
  t.ok(await isSettled('other'), 'another app waits only until the machine was looked over');
  t.equal(stored('shop-1'), undefined, 'a difference that was seen once says nothing');
  await clock.advance(4_000);
  t.match(stored('shop-1'), { state: 'ready', host: 'here', users: {} });
  t.ok(await isSettled());
  t.equal(restored(), 0, 'others may still write something');
  await clock.advance(6_000);
  t.equal(restored(), 1);
  t.equal(clock.pending, 0);
});

t.test('what its users or its booter write back meanwhile stays as they wrote it', async (t) => {
  const { restoration, clock, stored, change } = setUp(['shop-1']);
  restoration.begin('replaced');
  await clock.advance(2_000);
  change((current) => ({
    ...current,
    instances: [testInstance({ state: 'draining', users: { other: { since: 1 } } })],
  }));
  await clock.advance(10_000);
  t.match(stored('shop-1'), { state: 'draining', users: { other: {} } });
});

t.test(
  'what has no room any more ends when the store is complete, and its app boots nothing before that is written',
  async (t) => {
    const { restoration, clock, stored, machine, change, isSettled } = setUp(['shop-1', 'shop-2']);
    change((current) => ({ ...current, instances: [testInstance({ id: 'shop-1' })] }));
    restoration.begin('replaced');
    await clock.advance(9_999);
    t.equal(stored('shop-2'), undefined, 'somebody may still write something else');
    t.notOk(await isSettled());
    await clock.advance(1);
    t.match(stored('shop-2'), { state: 'draining', end: { reason: 'orphaned' }, users: {} });
    t.ok(await isSettled());
    t.same(machine.stopped, [], 'the reaper stops what the CMDB says has to go');
  },
);

t.test('a node that has just begun cannot tell, and waits as long', async (t) => {
  const { restoration, clock, stored, change, isSettled } = setUp(['shop-1', 'shop-2']);
  change((current) => ({ ...current, instances: [testInstance({ id: 'shop-1' })] }));
  restoration.begin('start');
  await clock.advance(9_999);
  t.notOk(await isSettled());
  t.ok(await isSettled('other'));
  await clock.advance(1);
  t.match(stored('shop-2'), { state: 'draining' });
  t.ok(await isSettled());
});

t.test('an app that must not overlap gets back one instance, also of another revision', async (t) => {
  const { restoration, clock, stored } = setUp(['shop-1', 'shop-2'], { app: { overlap: false }, revision: 'before' });
  restoration.begin('replaced');
  await clock.advance(4_000);
  t.match(stored('shop-1'), { state: 'ready', revision: 'before' });
  t.equal(stored('shop-2'), undefined);
});

t.test('a container that does not listen yet is waited for', async (t) => {
  const { restoration, clock, stored, machine, isSettled } = setUp(['shop-1']);
  machine.deaf.add('shop-1');
  restoration.begin('replaced');
  await clock.advance(12_000);
  t.notOk(await isSettled());
  machine.deaf.clear();
  await clock.advance(2_000);
  t.match(stored('shop-1'), { state: 'ready' });
  t.ok(await isSettled());
});

t.test('a runtime that cannot be listed is asked again, and boots go on in the end', async (t) => {
  const { restoration, clock, stored, machine, isSettled } = setUp(['shop-1']);
  machine.isDown = true;
  restoration.begin('replaced');
  await clock.advance(19_999);
  t.notOk(await isSettled());
  await clock.advance(1);
  t.ok(await isSettled());
  restoration.begin('replaced');
  await clock.advance(6_000);
  machine.isDown = false;
  await clock.advance(6_000);
  t.match(stored('shop-1'), { state: 'ready' }, 'it answers in time');
});

t.test('a node that has just begun waits for nothing where nothing is lost', async (t) => {
  const { restoration, clock, isSettled, restored } = setUp([]);
  restoration.begin('start');
  t.ok(await isSettled());
  t.equal(clock.pending, 0);
  t.equal(restored(), 0);
});

t.test('a node that has just begun looks for what another one has lost', async (t) => {
  const { restoration, clock, stored, isSettled } = setUp(['shop-1']);
  restoration.begin('start');
  t.notOk(await isSettled());
  await clock.advance(4_000);
  t.match(stored('shop-1'), { state: 'ready' });
  t.ok(await isSettled());
  t.equal(clock.pending, 0);
});

t.test('what stops while it looks lets those go who wait', async (t) => {
  const { restoration, clock, isSettled } = setUp(['shop-1']);
  restoration.begin('replaced');
  t.notOk(await isSettled());
  await restoration.stop();
  t.ok(await isSettled());
  t.equal(clock.pending, 0);
});

t.test('what this node boots or ends is written until it stops, and not after', async (t) => {
  const { restoration, away, clock } = setUp([]);
  away.is = true;
  const renewed = restoration.sessionRenewed(60_000);
  await clock.advance(1_000);
  t.equal(away.attempts, 2);
  await restoration.stop();
  await renewed;
  await clock.advance(10_000);
  t.equal(away.attempts, 2);
  t.equal(clock.pending, 0);
});
