import { pino } from 'pino';
import t from 'tap';
import type { AppRecord, Cmdb } from '../../src/cmdb/cmdb.js';
import { type Deployment, findInstance } from '../../src/model/deployment.js';
import { RequestError } from '../../src/model/errors.js';
import type { Instance } from '../../src/model/instance.js';
import { settleSuspension, startPause } from '../../src/model/suspension.js';
import type { Runtime } from '../../src/runtime/runtime.js';
import { LocalApps } from '../../src/uses/local-apps.js';
import { Suspensions } from '../../src/uses/suspensions.js';
import { testApp } from '../fixtures/app.js';
import { settle, VirtualClock } from '../fixtures/clock.js';
import { testDeployment } from '../fixtures/deployment.js';

const app = testApp({ pauseAfterMs: 30_000 });

/** A node, and a store that can be away, with an instance in this state. */
async function setUp(deployment: Deployment) {
  const clock = new VirtualClock();
  const told: string[] = [];
  const store = { isAway: false, failsOnThaw: false };
  let record: AppRecord = { app, removed: false, version: 'v0', deployment };
  let writes = 0;
  const update: Cmdb['update'] = async (_app, change) => {
    await Promise.resolve();
    if (store.isAway) throw new RequestError('cmdb_unavailable');
    const { deployment: before } = record;
    record = { ...record, deployment: change(before, app), version: `v${(writes += 1)}` };
    return { ...record, before };
  };
  const apps = new LocalApps({ find: async () => record, update } as unknown as Cmdb);
  const { runtime: name } = findInstance(deployment, 'shop-1') as Instance;
  const suspender = {
    suspend: async () => void told.push('frozen'),
    async resume() {
      told.push('thawed');
      store.isAway ||= store.failsOnThaw;
    },
  };
  const suspensions = new Suspensions({
    apps,
    uses: { takeUp: () => undefined, disown: () => undefined, releaseIdle: async () => true },
    session: { incarnation: 'me', ensureRegistered: async () => 'me' },
    runtimes: new Map([[name, { suspender } as unknown as Runtime]]),
    sight: { host: 'here' },
    clock,
    logger: pino({ level: 'silent' }),
    onPause: () => {},
    onResume: () => {},
  });
  return {
    ...{ clock, apps, store, suspensions, told, update },
    stored: () => findInstance(record.deployment, 'shop-1') as Instance,
  };
}

t.test('an instance that runs again is ready as soon as the store is back, whatever its deadline', async (t) => {
  const { clock, apps, store, suspensions, told, stored } = await setUp(testDeployment({ state: 'paused' }));
  const local = await apps.load(app.name);
  if (!local) throw new Error('there is a shop');
  store.failsOnThaw = true;
  const { done } = await suspensions.resume(local, 'shop-1');
  await clock.advance(3_000);
  t.match(stored(), { state: 'resuming', owner: 'me' });
  Object.assign(store, { isAway: false, failsOnThaw: false });
  await clock.advance(500);
  await done;
  t.same([stored().state, told], ['ready', ['thawed']]);
});

t.test('an instance whose pause cannot be written runs again, and is ready as soon as the store is back', async (t) => {
  const { clock, apps, store, suspensions, told, stored, update } = await setUp(testDeployment({}));
  const now = clock.now();
  await update(app.name, (current) => startPause(current, 'shop-1', app, { owner: 'me' }, now));
  await apps.load(app.name);
  store.isAway = true;
  suspensions.pause(app.name, stored());
  await clock.advance(3_000);
  t.same([stored().state, told], ['pausing', ['frozen', 'thawed']]);
  store.isAway = false;
  await clock.advance(500);
  t.same(stored(), testDeployment({}).instances[0], 'and may be paused again');
});

t.test('what others have settled meanwhile stays as they wrote it, and runs', async (t) => {
  const { clock, store, suspensions, told, stored, update } = await setUp(testDeployment({}));
  const now = clock.now();
  await update(app.name, (current) => startPause(current, 'shop-1', app, { owner: 'me' }, now));
  store.isAway = true;
  suspensions.pause(app.name, stored());
  await clock.advance(1_100);
  store.isAway = false;
  await update(app.name, (current) => settleSuspension(current, 'shop-1', () => true, now + 20_000));
  await clock.advance(500);
  t.same([stored().state, told], ['paused', ['frozen', 'thawed']]);
});

t.test('what is begun anew meanwhile is done anew: it may have been frozen again', async (t) => {
  const { clock, apps, store, suspensions, told, stored, update } = await setUp(testDeployment({ state: 'paused' }));
  const local = await apps.load(app.name);
  if (!local) throw new Error('there is a shop');
  store.failsOnThaw = true;
  await suspensions.resume(local, 'shop-1');
  await clock.advance(400);
  Object.assign(store, { isAway: false, failsOnThaw: false });
  // Others have given it up, and paused it again.
  await update(app.name, (current) => settleSuspension(current, 'shop-1', () => true, clock.now()));
  const { done } = await suspensions.resume(local, 'shop-1');
  await clock.advance(500);
  await done;
  t.same([stored().state, told], ['ready', ['thawed', 'thawed']]);
});

t.test('a node that stops waits for no store', async (t) => {
  const { clock, apps, store, suspensions } = await setUp(testDeployment({ state: 'paused' }));
  const local = await apps.load(app.name);
  if (!local) throw new Error('there is a shop');
  store.failsOnThaw = true;
  await suspensions.resume(local, 'shop-1');
  await settle();
  const stopped = suspensions.stop();
  await clock.advance(500);
  await t.resolves(stopped);
});
