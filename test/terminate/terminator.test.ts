import { pino } from 'pino';
import t from 'tap';
import { LocalApps } from '../../src/uses/local-apps.js';
import type { AppRecord, Cmdb } from '../../src/cmdb/cmdb.js';
import { emptyDeployment } from '../../src/model/deployment.js';
import type { Runtime } from '../../src/runtime/runtime.js';
import { Terminator } from '../../src/terminate/terminator.js';
import { OwnedInstances } from '../../src/uses/owned-instances.js';
import { testApp } from '../fixtures/app.js';
import { settle, VirtualClock } from '../fixtures/clock.js';
import { testDeployment } from '../fixtures/deployment.js';

t.test('a doom that a replaced store lost is written anew while it is carried out, and not after', async (t) => {
  const app = testApp();
  let deployment = testDeployment({ state: 'terminating', owner: 'me', end: { reason: 'idle', since: 1 } });
  const record = (): AppRecord => ({ app, removed: false, deployment, version: 'v' });
  const update: Cmdb['update'] = async (_app, change) => {
    const before = deployment;
    deployment = change(before, app);
    return { ...record(), before };
  };
  const cmdb = { find: async () => record(), update } as unknown as Cmdb;
  let confirm = () => {};
  const stop = () => new Promise<void>((resolve) => (confirm = resolve));
  const inspect = async () => ({ state: 'gone' });
  const apps = new LocalApps(cmdb);
  const clock = new VirtualClock();
  const owned = new OwnedInstances(apps, clock);
  const terminator = new Terminator({
    ...{ cmdb, apps, owned, clock, logger: pino({ level: 'silent' }), onTerminated: () => {} },
    runtimes: new Map([['process', { name: 'process', stop, inspect } as unknown as Runtime]]),
  });
  const terminating = terminator.terminate('shop', 'shop-1');
  await settle();
  deployment = emptyDeployment('shop');
  owned.doubt();
  await owned.restore('me again');
  t.match(deployment.instances, [{ id: 'shop-1', state: 'terminating', owner: 'me again', end: { reason: 'idle' } }]);
  confirm();
  await terminating;
  t.same(deployment.instances, []);
  owned.doubt();
  await owned.restore('me again');
  t.same(deployment.instances, []);
});
