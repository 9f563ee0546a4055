import t from 'tap';
import type { App, Mount } from '../../src/model/app.js';
import { revisionOf } from '../../src/model/app.js';
import { bootNotTaken, isUntaken, takeBoot } from '../../src/model/asked-boot.js';
import {
  addInstance,
  askLimitMs,
  type BootClaim,
  bootDeadlineMs,
  bootFailed,
  bootSucceeded,
  claimBoot,
  confirmGone,
  type Deployment,
  emptyDeployment,
  findInstance,
  giveUp,
} from '../../src/model/deployment.js';
import { bootHostOf, pinnedHost, pinOf } from '../../src/model/pin.js';
import { nextDueAt } from '../../src/model/schedule.js';
import { testApp } from '../fixtures/app.js';
import { testInstance } from '../fixtures/deployment.js';

const mount = (source: string, more: Partial<Mount> = {}): Mount => ({
  ...{ source, target: '/data', readOnly: false, shared: false },
  ...more,
});
const app = testApp({ mounts: [mount('/srv/shop')], scale: { min: 0, max: 2 } });
const elsewhere = testApp({ mounts: [mount('/srv/other')] });

/** As the nodes of a machine do it. */
function booted(deployment: Deployment, of: App, id: string, host: string): Deployment {
  const claimed = claimBoot(deployment, of, { id, host, owner: host }, 0);
  return bootSucceeded(claimed, id, { address: { host, port: 1 }, boot: {}, user: host, pin: pinOf(of, host) }, 1);
}

t.test('the first successful boot of an app with local mounts pins it, and its instances come and go', async (t) => {
  const first = booted(emptyDeployment('shop'), app, 'shop-1', 'a');
  t.same(first.pinnedTo, { host: 'a', sources: ['/srv/shop'] });
  const empty = confirmGone(first, 'shop-1');
  t.match(empty, { app: 'shop', instances: [], pinnedTo: { host: 'a', sources: ['/srv/shop'] } });
  t.equal(bootHostOf(empty, app), 'a');
  t.equal(bootHostOf(giveUp(first, 'shop-1', 0), app), 'a');
  t.equal(booted(empty, app, 'shop-2', 'a').pinnedTo, empty.pinnedTo);
});

t.test('an app without local mounts is not pinned, and loses the pin that it had', async (t) => {
  const shared = testApp({ mounts: [mount('/srv/shop', { shared: true })] });
  for (const free of [testApp(), shared]) {
    t.equal(booted(emptyDeployment('shop'), free, 'shop-1', 'a').pinnedTo, undefined);
    const pinned = confirmGone(booted(emptyDeployment('shop'), app, 'shop-1', 'a'), 'shop-1');
    t.equal(bootHostOf(pinned, free), undefined);
    t.notOk('pinnedTo' in booted(pinned, free, 'shop-2', 'b'));
  }
});

t.test('other sources make the pin void; targets, modes and repetitions do not', async (t) => {
  const pinned = confirmGone(booted(emptyDeployment('shop'), app, 'shop-1', 'a'), 'shop-1');
  t.equal(pinnedHost(pinned, elsewhere), undefined);
  t.equal(bootHostOf(pinned, elsewhere), undefined);
  t.same(booted(pinned, elsewhere, 'shop-2', 'b').pinnedTo, { host: 'b', sources: ['/srv/other'] });
  const same = testApp({
    mounts: [
      mount('/srv/shop', { readOnly: true }),
      mount('/srv/shop', { target: '/x' }),
      mount('/nfs', { shared: true }),
    ],
  });
  t.equal(pinnedHost(pinned, same), 'a');
});

t.test('before the first success the machine where one boots is where the others have to', async (t) => {
  const claimed = claimBoot(emptyDeployment('shop'), app, { id: 'shop-1', host: 'a', owner: 'me' }, 0);
  t.equal(bootHostOf(claimed, app), 'a');
  const failure = { code: 'boot_failed', message: 'no' } as const;
  const failed = bootFailed(claimed, 'shop-1', failure, { owner: 'me', reason: 'boot_failed', stopTimeoutMs: 1 }, 1);
  const gone = confirmGone(failed, 'shop-1');
  t.equal(bootHostOf(gone, app), undefined, 'what never served has no data');
});

t.test('what is found running pins its app, unless it is pinned already', async (t) => {
  const pin = pinOf(app, 'a');
  t.same(addInstance(emptyDeployment('shop'), testInstance(), pin).pinnedTo, pin);
  const pinned = confirmGone(booted(emptyDeployment('shop'), app, 'shop-1', 'b'), 'shop-1');
  t.equal(addInstance(pinned, testInstance({ id: 'shop-2' }), pin).pinnedTo?.host, 'b');
});

t.test('whether storage is shared does not change the revision', async (t) => {
  t.equal(
    revisionOf(testApp({ mounts: [mount('/a')] })),
    revisionOf(testApp({ mounts: [mount('/a', { shared: true })] })),
  );
});

const ask: BootClaim = { id: 'shop-1', host: 'a', askedBy: 'b-1' };

t.test('a boot that is asked for is taken up once, by a node of its host, and is then like any other', async (t) => {
  const asked = claimBoot(emptyDeployment('shop'), app, ask, 100);
  t.match(asked.instances, [{ state: 'booting', host: 'a', askedBy: 'b-1', deadlineAt: 100 + askLimitMs }]);
  t.ok(asked.instances.every(isUntaken));
  t.equal(nextDueAt(asked, app), 100 + askLimitMs);
  const take = (deployment: Deployment, owner: string, host = 'a') =>
    takeBoot(deployment, app, 'shop-1', { host, owner }, 500);
  t.equal(take(asked, 'b-1', 'b'), asked, 'not by another machine');
  const taken = take(asked, 'a-1');
  const deadlineAt = 500 + bootDeadlineMs(app);
  t.match(taken.instances, [{ owner: 'a-1', revision: revisionOf(app), bootedAt: 500, deadlineAt }]);
  t.equal(take(taken, 'a-2'), taken);
  t.equal(bootNotTaken(taken, 'shop-1', 99_000), taken);
  const report = { address: { host: 'h', port: 1 }, boot: {}, user: 'a-1', pin: pinOf(app, 'a') };
  const ready = bootSucceeded(taken, 'shop-1', report, 600);
  t.match(findInstance(ready, 'shop-1'), { state: 'ready', users: { 'a-1': {} } });
  t.equal(findInstance(ready, 'shop-1')?.askedBy, undefined);
});

t.test('one that nobody took up is freed with a failure that backs off', async (t) => {
  const asked = claimBoot(emptyDeployment('shop'), app, ask, 0);
  const freed = bootNotTaken(asked, 'shop-1', askLimitMs);
  t.same(freed.instances, []);
  t.match(freed.breaker, {
    code: 'boot_failed',
    failures: 1,
    retryAt: askLimitMs + 1_000,
    message: /no dispatcher of a took/,
  });
  const pinned = { ...asked, pinnedTo: { host: 'a', sources: ['/data'] } };
  t.match(bootNotTaken(pinned, 'shop-1', askLimitMs).breaker, { message: /of a, which the app is pinned to, took/ });
});

t.test('claims for a machine count against scale.max like any other', async (t) => {
  const one = testApp({ mounts: [mount('/srv/shop')], scale: { min: 0, max: 1 } });
  const asked = claimBoot(emptyDeployment('shop'), one, ask, 0);
  t.equal(claimBoot(asked, one, { ...ask, id: 'shop-2' }, 1), asked);
  t.equal(claimBoot(asked, one, { id: 'shop-2', host: 'a', owner: 'a-1' }, 1), asked);
});
