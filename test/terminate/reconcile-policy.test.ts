import t from 'tap';
import type { AppRecord } from '../../src/cmdb/cmdb.js';
import { revisionOf } from '../../src/model/app.js';
import type { Deployment } from '../../src/model/deployment.js';
import { adoptable, differences } from '../../src/terminate/reconcile-policy.js';
import { testApp } from '../fixtures/app.js';
import { testDeployment } from '../fixtures/deployment.js';

const app = testApp({ name: 'shop', scale: { min: 0, max: 1 } });
const record = (deployment: Deployment): AppRecord => ({ app, removed: false, deployment, version: 'v' });
const records = (deployment: Deployment) => new Map([['shop', record(deployment)]]);
const found = (id: string, running = true) => ({
  id,
  app: 'shop',
  revision: revisionOf(app),
  running,
  address: { host: '127.0.0.1', port: 1 },
});

t.test('where CMDB and runtime agree there is no difference', async (t) => {
  const both = records(testDeployment({}));
  t.same(differences({ host: 'here', runtime: 'process', before: both, after: both, found: [found('shop-1')] }), []);
});

t.test('what the runtime lacks is gone, also if it is there and dead', async (t) => {
  const both = records(testDeployment({}));
  const gone = [{ kind: 'gone', app: 'shop', id: 'shop-1' }];
  t.same(differences({ host: 'here', runtime: 'process', before: both, after: both, found: [] }), gone);
  t.same(
    differences({ host: 'here', runtime: 'process', before: both, after: both, found: [found('shop-1', false)] }),
    gone,
  );
});

t.test('what came or went while the runtime was listed is not judged', async (t) => {
  const none = new Map<string, AppRecord>();
  const some = records(testDeployment({}));
  t.same(differences({ host: 'here', runtime: 'process', before: none, after: some, found: [] }), []);
  t.same(differences({ host: 'here', runtime: 'process', before: some, after: none, found: [found('shop-1')] }), []);
});

t.test('claims, terminations, other machines and other runtimes are left alone', async (t) => {
  const others = records(
    testDeployment(
      { state: 'booting' },
      { id: 'shop-2', state: 'terminating' },
      { id: 'shop-3', host: 'there' },
      { id: 'shop-4', runtime: 'docker' },
    ),
  );
  t.same(differences({ host: 'here', runtime: 'process', before: others, after: others, found: [] }), []);
});

t.test('a container that no document knows is a stray', async (t) => {
  const none = new Map<string, AppRecord>();
  const [stray] = differences({
    host: 'here',
    runtime: 'process',
    before: none,
    after: none,
    found: [found('shop-9')],
  });
  t.match(stray, { kind: 'stray', app: 'shop', id: 'shop-9' });
});

t.test('a stray is adopted only where it fits the app as it is now', async (t) => {
  t.match(adoptable(found('shop-9'), record(testDeployment()), { host: 'here' }, 5, false), {
    id: 'shop-9',
    state: 'ready',
    readyAt: 5,
  });
  t.equal(adoptable(found('shop-9', false), record(testDeployment()), { host: 'here' }, 5, false), undefined, 'dead');
  t.equal(adoptable(found('shop-9'), undefined, { host: 'here' }, 5, false), undefined, 'unknown app');
  t.equal(
    adoptable(found('shop-9'), { ...record(testDeployment()), removed: true }, { host: 'here' }, 5, false),
    undefined,
    'removed app',
  );
  t.equal(adoptable(found('shop-9'), record(testDeployment({})), { host: 'here' }, 5, false), undefined, 'no room');
  t.equal(
    adoptable({ ...found('shop-9'), revision: 'old' }, record(testDeployment()), { host: 'here' }, 5, false),
    undefined,
    'old revision',
  );
});

t.test(
  'a frozen container that is written as ready is to run again, and one that is written as paused is not',
  async (t) => {
    const view = (before: Deployment, after: Deployment) => ({
      ...{ host: 'here', runtime: 'process' as const },
      ...{ before: records(before), after: records(after), found: [{ ...found('shop-1'), paused: true }] },
    });
    const ready = testDeployment({});
    const asleep = testDeployment({ state: 'paused' });
    t.same(differences(view(ready, ready)), [{ kind: 'frozen', app: 'shop', id: 'shop-1' }]);
    for (const [before, after] of [
      [asleep, asleep],
      [ready, asleep],
      [asleep, ready],
    ] as const)
      t.same(differences(view(before, after)), []);
    const both = records(asleep);
    const lost = differences({
      host: 'here',
      runtime: 'process',
      before: both,
      after: both,
      found: [found('shop-1', false)],
    });
    t.same(lost, [{ kind: 'gone', app: 'shop', id: 'shop-1' }], 'what died in its sleep is gone');
  },
);

t.test('a frozen container that no document knows becomes a paused instance', async (t) => {
  const adopted = adoptable({ ...found('shop-1'), paused: true }, record(testDeployment()), { host: 'here' }, 5, false);
  t.match(adopted, { state: 'paused', users: {} });
});
