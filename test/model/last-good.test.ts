import t from 'tap';
import { type App, containerOf, revisionOf, withContainer } from '../../src/model/app.js';
import {
  bootRefused,
  bootSucceeded,
  claimBoot,
  confirmGone,
  type Deployment,
  emptyDeployment,
} from '../../src/model/deployment.js';
import { keepLastGood, standIn, standsIn } from '../../src/model/last-good.js';
import { expiresAt } from '../../src/model/lifetime.js';
import { nextDueAt } from '../../src/model/schedule.js';
import { claimUpkeep, nextUpkeep } from '../../src/model/upkeep.js';
import { registerUser } from '../../src/model/users.js';
import { reap } from '../../src/terminate/reap-policy.js';
import { testApp } from '../fixtures/app.js';

const good = testApp({ idleTtlMs: 1_000, maxLifetimeMs: 50_000 });
const bad: App = { ...good, command: ['/no/such/program'], idleTtlMs: 2_000 };
const claim = { id: 'shop-1', host: 'here', owner: 'me' };
const failure = { code: 'boot_failed' as const, message: 'no such program' };
const report = { address: { host: '127.0.0.1', port: 1 }, boot: {}, user: 'me' };

const booted = (deployment: Deployment, app: App, id: string, now: number) =>
  bootSucceeded(claimBoot(deployment, app, { ...claim, id }, now), id, report, now);
const refused = (deployment: Deployment, app: App, id: string, now: number) =>
  bootRefused(claimBoot(deployment, app, { ...claim, id }, now), id, failure, now);
/** Slept with the good revision, then the app was changed. */
const changed = keepLastGood(confirmGone(booted(emptyDeployment('shop'), good, 'shop-0', 0), 'shop-0'), good, bad);
/** The new one was asked for, and failed. */
const failed = refused(changed, bad, 'shop-1', 100);

t.test('a revision is tried first, and if it fails the last good one boots, without a back-off', async (t) => {
  t.equal(changed.lastGood?.container?.command, good.command);
  t.equal(standIn(changed, bad), undefined);
  t.match(failed, { breaker: undefined, failedRevision: { failures: 1, retryAt: 1_100, revision: revisionOf(bad) } });
  const boots = standIn(failed, bad);
  t.same(boots, { ...good, idleTtlMs: 2_000 }, 'only what its containers are made of');
  const { instances } = claimBoot(failed, bad, { ...claim, id: 'shop-2' }, 200);
  t.match(instances, [{ id: 'shop-2', revision: revisionOf(good) }]);
});

t.test('what stands in stays while it is used, idles and ages like any other', async (t) => {
  const serving = booted(failed, bad, 'shop-2', 200);
  const [instance] = serving.instances;
  t.match(serving, { lastGood: changed.lastGood, failedRevision: { failures: 1 } });
  t.ok(standsIn(serving, instance!, bad));
  const released = { ...serving, instances: [{ ...instance!, users: {} }] };
  const context = {
    host: 'here',
    now: 300,
    me: 'me',
    verdict: () => 'alive' as const,
    mayEnd: true,
    removed: false,
  };
  t.equal(reap(released, bad, context), released, 'nobody uses it, and it is not idle yet');
  t.equal(nextDueAt(released, bad), 200 + bad.idleTtlMs);
  t.match(reap(released, bad, { ...context, now: 2_300 }).instances, [
    { state: 'terminating', end: { reason: 'idle' } },
  ]);
});

t.test('in use, the failed revision is tried again by replacement, and succeeds for good', async (t) => {
  const serving = registerUser(booted(failed, bad, 'shop-2', 200), 'shop-2', 'me', 200);
  t.equal(nextUpkeep(serving, bad, 1_099), undefined);
  const upkeep = nextUpkeep(serving, bad, 1_100);
  t.same(upkeep, { kind: 'replace', id: 'shop-2', reason: 'revision' });
  const trying = claimUpkeep(serving, bad, upkeep!, { ...claim, id: 'shop-3' }, 1_100);
  t.equal(trying.instances[1]?.revision, revisionOf(bad));
  t.match(bootRefused(trying, 'shop-3', failure, 1_200).failedRevision, { failures: 2, replaces: 'shop-2' });
  const mended = bootSucceeded(trying, 'shop-3', report, 1_200);
  t.same(mended.lastGood, { revision: revisionOf(bad) });
  t.equal(mended.failedRevision, undefined);
});

t.test('one that is too old is replaced by another of the last good revision', async (t) => {
  const serving = registerUser(booted(failed, bad, 'shop-2', 200), 'shop-2', 'me', 200);
  const old = expiresAt(serving.instances[0]!, bad);
  const upkeep = nextUpkeep(serving, bad, old);
  t.same(upkeep, { kind: 'replace', id: 'shop-2', reason: 'lifetime' });
  const renewing = claimUpkeep(serving, bad, upkeep!, { ...claim, id: 'shop-3' }, old);
  t.equal(renewing.instances[1]?.revision, revisionOf(good));
  const again = bootRefused(renewing, 'shop-3', failure, old);
  t.match(again.failedRevision, { failures: 2, revision: revisionOf(bad), replaces: 'shop-2' });
  t.equal(nextUpkeep(again, bad, old + 1), undefined, 'not before the back-off is over');
});

t.test('if the last good one fails as well, requests are refused and told so', async (t) => {
  t.match(refused(failed, bad, 'shop-2', 200).breaker, { failures: 1, retryAt: 1_200 });
});

t.test('an app that must not overlap tries its own revision again once the back-off is over', async (t) => {
  const alone = { ...bad, overlap: false };
  const revisionAt = (now: number) => claimBoot(failed, alone, { ...claim, id: 'shop-2' }, now).instances[0]?.revision;
  t.equal(revisionAt(1_099), revisionOf(good));
  t.equal(revisionAt(1_100), revisionOf(bad));
});

t.test('of several changes that fail, the last good revision is kept; a change back forgets it', async (t) => {
  const worse: App = { ...bad, env: { MORE: 'of it' } };
  t.equal(keepLastGood(failed, bad, worse), failed);
  t.equal(standIn(failed, worse), undefined, 'it may be better');
  t.same(keepLastGood(failed, bad, good).lastGood, { revision: revisionOf(good) });
  const never = refused(emptyDeployment('shop'), good, 'shop-1', 0);
  t.equal(keepLastGood(never, good, bad), never, 'one that was never ready is not kept');
});

t.test('what containers are made of is all that a revision is of', async (t) => {
  const other = testApp({ port: 80, command: ['true'], cwd: '/', user: '1:1', image: 'x', domains: ['b.example'] });
  t.equal(revisionOf(withContainer(good, containerOf(other))), revisionOf(other));
  t.same(withContainer(good, containerOf(other)).domains, good.domains);
  t.equal('image' in withContainer(other, containerOf(good)), false);
});
