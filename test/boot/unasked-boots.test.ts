import { pino } from 'pino';
import t from 'tap';
import type { BootProcedure, BootTrigger } from '../../src/boot/boot-procedure.js';
import { UnaskedBoots, type UnaskedBootsOptions } from '../../src/boot/unasked-boots.js';
import type { Cmdb } from '../../src/cmdb/cmdb.js';
import type { Deployment } from '../../src/model/deployment.js';
import { LocalApps } from '../../src/uses/local-apps.js';
import { testApp } from '../fixtures/app.js';
import { settle } from '../fixtures/clock.js';
import { testDeployment } from '../fixtures/deployment.js';

interface Begun {
  readonly trigger: BootTrigger;
  readonly end: () => void;
  readonly fail: (error: Error) => void;
}

/** Boots that end when they are told to. */
function setUp(deployment: Deployment) {
  const record = { app: testApp(), removed: false, deployment, version: 'v' };
  const apps = new LocalApps({ find: async () => record } as unknown as Cmdb);
  const begun: Begun[] = [];
  const boot: BootProcedure['boot'] = (_local, trigger) =>
    new Promise((resolve, reject) => begun.push({ trigger, end: () => resolve(undefined), fail: reject }));
  const unasked = new UnaskedBoots({
    ...{ apps, peers: {}, procedure: { boot }, host: 'here', logger: pino({ level: 'silent' }) },
    hosts: { of: () => undefined },
  } as unknown as UnaskedBootsOptions);
  return { apps, begun, unasked };
}

t.test('the end of a boot does not make room for another beside the claim of the next', async (t) => {
  const { begun, unasked } = setUp(testDeployment());
  const fill = async () => {
    unasked.keepUp('shop', { kind: 'fill' });
    await settle();
    return begun.length;
  };
  t.equal(await fill(), 1);
  t.equal(await fill(), 1, 'its claim is not written yet');
  begun[0]?.trigger.onClaim?.(undefined);
  t.equal(await fill(), 2);
  begun[0]?.end();
  await settle();
  t.equal(await fill(), 2, 'the claim of the second is not written yet');
});

t.test('a boot that fails to begin leaves none of its siblings behind', async (t) => {
  const asked = (id: string) => ({ id, state: 'booting' as const, host: 'here' });
  const { apps, begun, unasked } = setUp(testDeployment(asked('shop-1'), asked('shop-2')));
  unasked.takeUp('shop');
  await settle();
  t.equal(begun.length, 2);
  begun[0]?.fail(new Error('not claimed'));
  await settle();
  t.ok(apps.get('shop'), 'the other one is still under way');
  let hasStopped = false;
  const stopped = unasked.stop().then(() => (hasStopped = true));
  await settle();
  t.notOk(hasStopped);
  begun[1]?.end();
  await stopped;
  t.equal(apps.get('shop'), undefined);
});

t.test('a claim that is being taken up is not taken up again', async (t) => {
  const { begun, unasked } = setUp(testDeployment({ state: 'booting', host: 'here' }));
  unasked.takeUp('shop');
  unasked.takeUp('shop');
  await settle();
  unasked.takeUp('shop');
  await settle();
  t.equal(begun.length, 1);
});
