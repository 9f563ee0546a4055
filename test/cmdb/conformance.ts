import type { Test } from 'tap';
import type { AppRecord, Change, Cmdb, Session } from '../../src/cmdb/cmdb.js';
import { adopt, bootSucceeded, claimBoot, confirmGone, emptyDeployment } from '../../src/model/deployment.js';
import { expiresAt } from '../../src/model/lifetime.js';
import { registerUser } from '../../src/model/users.js';
import { testApp } from '../fixtures/app.js';
import { testInstance } from '../fixtures/deployment.js';
import { eventually } from '../fixtures/eventually.js';

export interface CmdbUnderTest {
  /** Another handle on the same store; closed with the test. */
  open(): Cmdb;
  /** Reports of records that could not be read, by all handles. */
  readonly unreadable: string[];
  /** Replaces an app's or a deployment's stored record by this text. */
  spoil(kind: 'app' | 'deployment', name: string, text: string): Promise<void>;
  /** The length of the change log, short enough to fall off. */
  readonly logLength: number;
}

const app = testApp({ name: 'shop', domains: ['shop.example', '*.shop.example'], idleTtlMs: 10_000 });
const claim = { id: 'shop-1', revision: 'r', host: 'here', owner: 'me' };
const session = (incarnation: string, beats = 0): Session => ({
  incarnation,
  host: 'here',
  beats,
  process: { pid: 1, startTime: '1', bootId: 'b' },
});

/** Every sentence of the port, on a store that `fresh` makes anew for each test. */
export function cmdbConformance(t: Test, fresh: (t: Test) => Promise<CmdbUnderTest>): void {
  const test = (name: string, run: (t: Test, cmdb: Cmdb, store: CmdbUnderTest) => Promise<void>) =>
    void t.test(name, async (t) => {
      const store = await fresh(t);
      await run(t, store.open(), store);
    });

  test('an app is found by its domains, exact ones first, wildcards one label deep, and by its name', async (t, cmdb) => {
    const exact = testApp({ name: 'www', domains: ['www.shop.example'] });
    t.same(await cmdb.apply({ put: [app, exact], remove: [] }), []);
    const nameOf = async (domain: string) => (await cmdb.find({ domain }))?.app.name;
    t.equal(await nameOf('shop.example'), 'shop');
    t.equal(await nameOf('any.shop.example'), 'shop');
    t.equal(await nameOf('www.shop.example'), 'www');
    t.equal(await nameOf('a.b.shop.example'), undefined);
    t.equal(await nameOf('example'), undefined);
    t.same((await cmdb.find({ app: 'shop' }))?.app, app);
    t.equal(await cmdb.find({ app: 'nobody' }), undefined);
  });

  test('a domain claimed twice is refused with both names, and nothing of the loser changes', async (t, cmdb) => {
    const thief = testApp({ name: 'thief', domains: ['thief.example'] });
    await cmdb.apply({ put: [app, thief], remove: [] });
    const greedy = { ...thief, domains: ['thief.example', 'new.example', 'shop.example'], idleTtlMs: 1 };
    t.same(await cmdb.apply({ put: [greedy], remove: [] }), [
      { domain: 'shop.example', wantedBy: 'thief', ownedBy: 'shop' },
    ]);
    t.same((await cmdb.find({ app: 'thief' }))?.app, thief);
    t.equal((await cmdb.find({ domain: 'shop.example' }))?.app.name, 'shop');
    t.equal(await cmdb.find({ domain: 'new.example' }), undefined);
  });

  test('a domain that its owner gave up is free, also for an app of the same change', async (t, cmdb) => {
    await cmdb.apply({ put: [app], remove: [] });
    const heir = testApp({ name: 'heir', domains: ['shop.example'] });
    t.same(await cmdb.apply({ put: [heir], remove: ['shop'] }), []);
    t.equal((await cmdb.find({ domain: 'shop.example' }))?.app.name, 'heir');
    await cmdb.apply({ put: [{ ...heir, domains: ['heir.example'] }], remove: [] });
    t.equal(await cmdb.find({ domain: 'shop.example' }), undefined);
  });

  test('apps that are stored as they are cost no write', async (t, cmdb) => {
    await cmdb.apply({ put: [app], remove: [] });
    const { position } = await cmdb.changes(undefined, AbortSignal.timeout(5_000));
    await cmdb.apply({ put: [app], remove: ['nobody'] });
    const stop = AbortSignal.timeout(100);
    t.same((await cmdb.changes(position, stop)).changes, []);
  });

  test('an update stands when it resolves, and one that changes nothing writes nothing', async (t, cmdb) => {
    await cmdb.apply({ put: [app], remove: [] });
    const { deployment, version } = await cmdb.update('shop', (current, stored) =>
      stored ? claimBoot(current, stored, claim, 100) : current,
    );
    t.match(deployment.instances, [{ id: 'shop-1', state: 'booting' }]);
    t.match(await cmdb.find({ app: 'shop' }), { version, deployment });
    t.equal((await cmdb.update('shop', (current) => current)).version, version);
  });

  test('parallel updates from two handles lose nothing', async (t, cmdb, store) => {
    await cmdb.apply({ put: [app], remove: [] });
    await cmdb.update('shop', (current) => adopt(current, testInstance()));
    const other = store.open();
    const users = Array.from({ length: 40 }, (_, index) => `user-${index}`);
    await Promise.all(
      users.map((user, index) =>
        (index % 2 === 0 ? cmdb : other).update('shop', (current) => registerUser(current, 'shop-1', user, index)),
      ),
    );
    const record = await cmdb.find({ app: 'shop' });
    t.same(Object.keys(record?.deployment.instances[0]?.users ?? {}).toSorted(), users.toSorted());
  });

  test('only one of many claims of a boot wins', async (t, cmdb, store) => {
    await cmdb.apply({ put: [app], remove: [] });
    const handles = [cmdb, store.open()];
    const outcomes = await Promise.all(
      Array.from({ length: 20 }, async (_, index) => {
        const mine = { ...claim, id: `shop-${index}`, owner: `node-${index}` };
        const outcome = await (handles[index % 2] as Cmdb).update('shop', (current) =>
          claimBoot(current, app, mine, 1),
        );
        return outcome.deployment.instances.some(({ id }) => id === mine.id);
      }),
    );
    t.equal(outcomes.filter(Boolean).length, 1);
    t.equal((await cmdb.find({ app: 'shop' }))?.deployment.instances.length, 1);
  });

  test('a removed app leaves its domains at once, and goes when its last instance has gone', async (t, cmdb) => {
    await cmdb.apply({ put: [app], remove: [] });
    await cmdb.update('shop', (current) => adopt(current, testInstance()));
    await cmdb.apply({ put: [], remove: ['shop'] });
    t.equal(await cmdb.find({ domain: 'shop.example' }), undefined);
    t.match(await cmdb.find({ app: 'shop' }), { removed: true, deployment: { instances: [{ id: 'shop-1' }] } });
    t.same(await cmdb.due(0, 10), ['shop'], 'it is due at once');
    await cmdb.update('shop', (current) => confirmGone(current, 'shop-1'));
    t.equal(await cmdb.find({ app: 'shop' }), undefined);
    t.same(await names(cmdb, 'all'), []);
  });

  test('a removed app that comes back is as before', async (t, cmdb) => {
    await cmdb.apply({ put: [app], remove: [] });
    await cmdb.update('shop', (current) => adopt(current, testInstance()));
    await cmdb.apply({ put: [], remove: ['shop'] });
    await cmdb.apply({ put: [app], remove: [] });
    t.match(await cmdb.find({ domain: 'shop.example' }), {
      removed: false,
      deployment: { instances: [{ id: 'shop-1' }] },
    });
  });

  test('the list has all apps, or those with instances', async (t, cmdb) => {
    const sleeping = testApp({ name: 'sleeping', domains: ['sleeping.example'] });
    await cmdb.apply({ put: [app, sleeping], remove: [] });
    await cmdb.update('shop', (current) => adopt(current, testInstance()));
    t.same(await names(cmdb, 'all'), ['shop', 'sleeping']);
    t.same(await names(cmdb, 'active'), ['shop']);
  });

  test('changes are told in order from a position on, with the version they led to', async (t, cmdb, store) => {
    await cmdb.apply({ put: [app], remove: [] });
    const other = store.open();
    const from = await other.changes(undefined, AbortSignal.timeout(5_000));
    t.match(from, { changes: [], lost: false });
    const waiting = collect(other, from.position, 2);
    const { version } = await cmdb.update('shop', (current) => adopt(current, testInstance()));
    await cmdb.apply({ put: [{ ...app, idleTtlMs: 1 }], remove: [] });
    t.same(await waiting, [{ app: 'shop', version }, { app: 'shop' }]);
    t.same(await collect(cmdb, from.position, 2), [{ app: 'shop', version }, { app: 'shop' }], 'any handle may go on');
  });

  test('waiting for changes ends with the signal', async (t, cmdb) => {
    const { position } = await cmdb.changes(undefined, AbortSignal.timeout(5_000));
    const stop = new AbortController();
    const waiting = cmdb.changes(position, stop.signal);
    stop.abort();
    t.match(await waiting, { changes: [], lost: false });
    await cmdb.apply({ put: [app], remove: [] });
    t.same(await collect(cmdb, position, 1), [{ app: 'shop' }], 'nothing was missed');
  });

  test('whoever fell off the end of the log is told so', async (t, cmdb, store) => {
    await cmdb.apply({ put: [app], remove: [] });
    const { position } = await cmdb.changes(undefined, AbortSignal.timeout(5_000));
    // A stream is trimmed in blocks of a hundred entries.
    for (let round = 0; round < store.logLength + 300; round += 1)
      await cmdb.update('shop', (current) => ({ ...current }));
    const batch = await cmdb.changes(position, AbortSignal.timeout(5_000));
    t.equal(batch.lost, true);
    t.equal((await cmdb.changes(batch.position, AbortSignal.timeout(50))).lost, false);
    t.equal(
      (await cmdb.changes('999999999999999-0', AbortSignal.timeout(50))).lost,
      true,
      'a position of another store',
    );
  });

  test('an app that is due is handed to one caller and postponed', async (t, cmdb, store) => {
    const apps = Array.from({ length: 20 }, (_, index) =>
      testApp({ name: `app-${index}`, domains: [], idleTtlMs: 1_000 }),
    );
    await cmdb.apply({ put: apps, remove: [] });
    for (const { name } of apps) {
      await cmdb.update(name, (current) => adopt(current, testInstance({ id: `${name}-1`, lastActiveAt: 5_000 })));
    }
    t.same(await cmdb.due(5_999, 100), []);
    const other = store.open();
    const handed = await Promise.all([cmdb.due(6_000, 100), other.due(6_000, 100), cmdb.due(6_000, 100)]);
    t.same(handed.flat().toSorted(), apps.map(({ name }) => name).toSorted());
    t.same(await cmdb.due(10_999, 100), []);
    t.equal((await cmdb.due(11_000, 7)).length, 7, 'no more than the limit');
  });

  test('a deadline that moved later is not handed out, one that moved earlier is', async (t, cmdb) => {
    await cmdb.apply({ put: [app], remove: [] });
    await cmdb.update('shop', (current) => adopt(current, testInstance({ lastActiveAt: 0 })));
    await cmdb.update('shop', (current) => registerUser(current, 'shop-1', 'me', 5_000));
    t.same(await cmdb.due(10_000, 10), [], 'it is in use');
    const shorter = { ...app, maxLifetimeMs: 15_000 };
    await cmdb.apply({ put: [shorter], remove: [] });
    const end = expiresAt(testInstance({ readyAt: 0 }), shorter);
    t.same(await cmdb.due(end - 1, 10), []);
    t.same(await cmdb.due(end, 10), ['shop'], 'a shorter lifetime moved the schedule');
    await cmdb.update('shop', () => emptyDeployment('shop'));
    t.same(await cmdb.due(99_000_000, 10), [], 'nothing is due without instances');
  });

  test('an app that lacks instances of its scale.min is due, until it is removed', async (t, cmdb) => {
    const kept = { ...app, scale: { min: 1, max: 1 } };
    await cmdb.apply({ put: [kept], remove: [] });
    t.same(await cmdb.due(0, 10), ['shop'], 'as soon as it is added');
    await cmdb.update('shop', (current) => adopt(current, testInstance({ lastActiveAt: 0 })));
    t.same(await cmdb.due(10_000, 10), [], 'it has what it needs');
    await cmdb.update('shop', (current) => confirmGone(current, 'shop-1'));
    t.same(await cmdb.due(10_000, 10), ['shop'], 'its instance died');
    await cmdb.update('shop', (current) => adopt(current, testInstance()));
    await cmdb.apply({ put: [], remove: ['shop'] });
    await cmdb.update('shop', (current) => confirmGone(current, 'shop-1'));
    t.same(await cmdb.due(99_000_000, 10), []);
    t.equal(await cmdb.find({ app: 'shop' }), undefined);
  });

  test('a replacement under way and one that failed are kept as they are', async (t, cmdb, store) => {
    const failedReplacement = {
      ...{ failures: 2, retryAt: 7, code: 'boot_timeout' as const, message: 'not ready' },
      ...{ revision: 'r2', replaces: 'shop-1' },
    };
    const replaces = { id: 'shop-1', reason: 'revision' as const };
    await cmdb.apply({ put: [app], remove: [] });
    const booting = testInstance({ id: 'shop-2', state: 'booting', replaces });
    await cmdb.update('shop', (current) => ({ ...adopt(current, booting), failedReplacement }));
    t.match((await store.open().find({ app: 'shop' }))?.deployment, { instances: [booting], failedReplacement });
    t.same(store.unreadable, []);
  });

  test('an app stored before it could say whether its instances may overlap lets them', async (t, cmdb, store) => {
    await cmdb.apply({ put: [app], remove: [] });
    const { overlap: _unknown, ...older } = app;
    await store.spoil('app', 'shop', JSON.stringify({ v: 1, app: older, removed: false }));
    t.equal((await cmdb.find({ app: 'shop' }))?.app.overlap, true);
    t.same(store.unreadable, []);
  });

  test('deadlines that move while they are looked at are not lost', async (t, cmdb, store) => {
    const other = store.open();
    await cmdb.apply({ put: [app], remove: [] });
    for (let round = 0; round < 25; round += 1) {
      await cmdb.update('shop', () =>
        adopt(emptyDeployment('shop'), testInstance({ lastActiveAt: 0, users: { me: { since: 0 } } })),
      );
      // The entry is early; one caller moves it later while the other makes it due.
      await Promise.all([
        cmdb.due(11_000, 10),
        other.update('shop', () => adopt(emptyDeployment('shop'), testInstance({ lastActiveAt: 2_000 }))),
      ]);
      t.same(await cmdb.due(17_000, 10), ['shop']);
      await cmdb.update('shop', () => emptyDeployment('shop'));
      await cmdb.due(99_000, 10);
    }
  });

  test('sessions are told to all, and one that was revoked is not written again', async (t, cmdb, store) => {
    const other = store.open();
    const first = await cmdb.beat(session('a'));
    t.match(first, { revoked: false, sessions: [{ incarnation: 'a', beats: 0 }] });
    const both = await other.beat(session('b'));
    t.same(both.sessions.map(({ incarnation }) => incarnation).toSorted(), ['a', 'b']);
    t.equal(both.identity, first.identity);
    await other.beat(session('b', 1), ['a']);
    const revoked = await cmdb.beat(session('a', 1));
    t.equal(revoked.revoked, true);
    t.same(
      revoked.sessions.map(({ incarnation }) => incarnation),
      ['b'],
    );
    const left = await other.beat(session('b', 2), ['b']);
    t.same(left.sessions, [], 'a node that leaves takes itself out');
  });

  test('a record that cannot be read is reported and skipped, and can be written over', async (t, cmdb, store) => {
    const other = testApp({ name: 'other', domains: ['other.example'] });
    await cmdb.apply({ put: [app, other], remove: [] });
    await cmdb.update('shop', (current) =>
      bootSucceeded(
        claimBoot(current, app, claim, 1),
        'shop-1',
        { address: { host: 'h', port: 1 }, boot: {}, user: 'me' },
        2,
      ),
    );
    for (const garbage of [
      'not json',
      '{"v":99}',
      '{"v":1,"version":"x","deployment":{"app":"shop","instances":[{}]}}',
    ]) {
      store.unreadable.length = 0;
      await store.spoil('deployment', 'shop', garbage);
      t.match(await cmdb.find({ app: 'shop' }), { deployment: { instances: [] } }, garbage);
      t.match(store.unreadable, [/deployment shop/]);
    }
    const { deployment } = await cmdb.update('shop', (current) => adopt(current, testInstance()));
    t.equal(deployment.instances.length, 1);
    await store.spoil('app', 'other', '{"v":1}');
    store.unreadable.length = 0;
    t.equal(await cmdb.find({ domain: 'other.example' }), undefined);
    t.same(await names(cmdb, 'all'), ['shop']);
    t.match(store.unreadable, [/app other/, /app other/]);
    await cmdb.apply({ put: [other], remove: [] });
    t.equal((await cmdb.find({ domain: 'other.example' }))?.app.name, 'other');
  });

  test('a claim that its owner does not list leads nowhere', async (t, cmdb, store) => {
    await cmdb.apply({ put: [app], remove: [] });
    const record = JSON.stringify({ v: 1, app: { ...app, domains: ['other.example'] }, removed: false });
    await store.spoil('app', 'shop', record);
    t.equal(await cmdb.find({ domain: 'shop.example' }), undefined);
    t.equal(await cmdb.find({ domain: 'any.shop.example' }), undefined);
  });

  test("a change that throws is its caller's fault, and writes nothing", async (t, cmdb) => {
    await cmdb.apply({ put: [app], remove: [] });
    const fault = new Error('a bug');
    const failing = cmdb.update('shop', () => {
      throw fault;
    });
    await t.rejects(failing, fault);
    t.match(await cmdb.find({ app: 'shop' }), { version: '' });
  });

  test('of two new apps that want one domain in one change the first has it', async (t, cmdb) => {
    const second = testApp({ name: 'second', domains: ['shop.example'] });
    t.same(await cmdb.apply({ put: [app, second], remove: [] }), [
      { domain: 'shop.example', wantedBy: 'second', ownedBy: 'shop' },
    ]);
    t.equal(await cmdb.find({ app: 'second' }), undefined);
    t.equal((await cmdb.find({ domain: 'shop.example' }))?.app.name, 'shop');
  });

  test('updating an app that nobody stored is no failure', async (t, cmdb) => {
    const seen: unknown[] = [];
    const { deployment } = await cmdb.update('nobody', (current, stored) => {
      seen.push(stored);
      return current;
    });
    t.same(deployment, emptyDeployment('nobody'));
    t.same(seen, [undefined]);
  });

  test('a thousand apps are applied and found', async (t, cmdb) => {
    const apps = Array.from({ length: 1_000 }, (_, index) =>
      testApp({ name: `app-${index}`, domains: [`${index}.example`] }),
    );
    const from = performance.now();
    t.same(await cmdb.apply({ put: apps, remove: [] }), []);
    t.comment(`1,000 apps applied in ${Math.round(performance.now() - from)} ms`);
    t.equal((await cmdb.find({ domain: '999.example' }))?.app.name, 'app-999');
    t.equal((await names(cmdb, 'all')).length, 1_000);
  });

  test('after it was closed, calls are refused, and closing again is harmless', async (t, cmdb) => {
    await cmdb.close();
    await cmdb.close();
    await t.rejects(cmdb.find({ app: 'shop' }), { code: 'cmdb_unavailable' });
    await t.rejects(
      cmdb.update('shop', (current) => current),
      { code: 'cmdb_unavailable' },
    );
  });
}

async function names(cmdb: Cmdb, which: 'all' | 'active'): Promise<string[]> {
  const found: AppRecord[] = [];
  for await (const record of cmdb.list(which)) found.push(record);
  return found.map(({ app: { name } }) => name).toSorted();
}

/** Follows the log until that many changes have come. */
async function collect(cmdb: Cmdb, from: string, count: number): Promise<Change[]> {
  const changes: Change[] = [];
  let position = from;
  return eventually(async () => {
    const batch = await cmdb.changes(position, AbortSignal.timeout(5_000));
    position = batch.position;
    changes.push(...batch.changes);
    return changes.length >= count ? changes : undefined;
  }) as Promise<Change[]>;
}
