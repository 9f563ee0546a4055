import { pino } from 'pino';
import t from 'tap';
import type { Deployment } from '../../src/model/deployment.js';
import type { FoundInstance, Runtime } from '../../src/runtime/runtime.js';
import { Reconciler, type ReconcilerOptions } from '../../src/terminate/reconciler.js';
import { testApp } from '../fixtures/app.js';
import { VirtualClock } from '../fixtures/clock.js';
import { testDeployment } from '../fixtures/deployment.js';

t.test('two comparisons come soon after a start, and again after another store took over', async (t) => {
  const clock = new VirtualClock();
  const comparedAt: number[] = [];
  const runtime = { name: 'process', list: async () => (comparedAt.push(clock.monotonic()), []) } as unknown as Runtime;
  const peers = { mayJudge: true };
  const reconciler = new Reconciler({
    cmdb: { async *list() {} },
    runtimes: new Map([['process', runtime]]),
    session: { leadsHost: true },
    peers,
    store: { isComplete: true },
    clock,
    sight: { host: 'here' },
    logger: pino({ level: 'silent' }),
    periodMs: 60_000,
  } as unknown as ReconcilerOptions);
  reconciler.start();
  await clock.advance(80_000);
  t.same(comparedAt, [6_000, 12_000, 72_000]);
  peers.mayJudge = false;
  reconciler.again();
  await clock.advance(10_000);
  peers.mayJudge = true;
  await clock.advance(72_000);
  t.same(comparedAt.slice(3), [92_000, 98_000, 158_000], 'as soon as the node may judge by it');
  await reconciler.stop();
});

t.test('a frozen instance that cannot be resumed ends, and keeps no other from being compared', async (t) => {
  const clock = new VirtualClock();
  let deployment = testDeployment({}, { id: 'shop-2' });
  const frozen = { id: 'shop-1', app: 'shop', revision: '', running: true, paused: true };
  const stray = { id: 'old-1', app: 'old', revision: '', running: false };
  const resumed: string[] = [];
  const stopped: string[] = [];
  const runtime = {
    name: 'process',
    list: async (): Promise<FoundInstance[]> => [frozen, { ...frozen, id: 'shop-2' }, stray],
    suspender: {
      async resume(id: string) {
        if (id === 'shop-1') throw new Error('its group is broken');
        resumed.push(id);
      },
    },
    stop: async (id: string) => void stopped.push(id),
  };
  const reconciler = new Reconciler({
    cmdb: {
      async *list() {
        yield { app: testApp(), removed: false, version: '', deployment };
      },
    },
    apps: {
      async update(_name: string, change: (current: Deployment) => Deployment) {
        deployment = change(deployment);
      },
    },
    runtimes: new Map([['process', runtime]]),
    session: { leadsHost: true, verdict: () => 'alive' },
    reaper: { look: async () => {} },
    peers: { mayJudge: true, isSeen: () => true },
    store: { isComplete: true },
    clock,
    sight: { host: 'here' },
    logger: pino({ level: 'silent' }),
    periodMs: 60_000,
  } as unknown as ReconcilerOptions);
  await reconciler.pass();
  t.match(deployment.instances, [{ state: 'draining', end: { reason: 'resume_failed' } }, { state: 'ready' }]);
  t.same(resumed, ['shop-2']);
  await reconciler.pass();
  t.same(stopped, ['old-1']);
});
