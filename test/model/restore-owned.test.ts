import t from 'tap';
import { bootSucceeded, type Deployment, emptyDeployment } from '../../src/model/deployment.js';
import type { Instance } from '../../src/model/instance.js';
import { restoreOwned } from '../../src/model/restore-owned.js';
import { testApp } from '../fixtures/app.js';
import { testDeployment, testInstance } from '../fixtures/deployment.js';

const app = testApp({ name: 'shop', scale: { min: 0, max: 1 } });
const claimed = testInstance({ state: 'booting', owner: 'me' });

function restore(deployment: Deployment, claim: Instance = claimed, of = app): Deployment {
  return restoreOwned(deployment, { app: of, instance: claim, owner: 'me' }, 'me again', 100);
}

t.test('a lost claim is written anew for its booter', async (t) => {
  const restored = restore(emptyDeployment('shop'));
  t.match(restored.instances, [{ id: 'shop-1', state: 'booting', owner: 'me again' }]);
  const report = { address: { host: '127.0.0.1', port: 1 }, boot: { start: 5 }, user: 'me again' };
  t.match(bootSucceeded(restored, 'shop-1', report, 200).instances, [{ state: 'ready' }]);
});

t.test("a claim that is still there becomes its booter's again, and only its booter's", async (t) => {
  t.match(restore({ app: 'shop', instances: [claimed] }).instances, [{ state: 'booting', owner: 'me again' }]);
  const others = [
    testInstance({ state: 'booting', owner: 'other' }),
    testInstance({ state: 'terminating' }),
    testInstance(),
  ];
  for (const other of others) {
    const deployment = { app: 'shop', instances: [other] };
    t.equal(restore(deployment), deployment, `${other.state} of ${other.owner}`);
  }
});

t.test('a claim stays lost where another instance was booted in its stead', async (t) => {
  for (const state of ['booting', 'ready'] as const) {
    const deployment = testDeployment({ id: 'shop-2', state });
    t.equal(restore(deployment), deployment, state);
  }
  const two = testApp({ ...app, scale: { min: 0, max: 2 } });
  t.equal(restore(testDeployment({ id: 'shop-2' }), claimed, two).instances.length, 2);
});

t.test(
  'a lost claim of a replacement is written anew beside what it replaces, but not beside another one',
  async (t) => {
    const old = testInstance({ id: 'shop-0' });
    const replacement = testInstance({ state: 'booting', replaces: { id: 'shop-0', reason: 'lifetime' } });
    t.equal(restore({ app: 'shop', instances: [old] }, replacement).instances.length, 2);
    const taken = { app: 'shop', instances: [old, { ...replacement, id: 'shop-2' }] };
    t.equal(restore(taken, replacement), taken);
  },
);

t.test('a lost claim of an app that must not run twice is written anew only where nothing of it is left', async (t) => {
  const alone = testApp({ ...app, overlap: false });
  t.equal(restore(emptyDeployment('shop'), claimed, alone).instances.length, 1);
  const draining = testDeployment({ id: 'shop-0', state: 'draining', end: { reason: 'lifetime', since: 0 } });
  t.equal(restore(draining, claimed, alone), draining);
});
