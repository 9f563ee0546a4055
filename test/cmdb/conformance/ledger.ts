import type { Cmdb } from '../../../src/cmdb/cmdb.js';
import {
  addInstance,
  bootRefused,
  bootSucceeded,
  claimBoot,
  confirmGone,
  instanceDied,
  startDrain,
  startTerminate,
} from '../../../src/model/deployment.js';
import { registerUser, releaseUser } from '../../../src/model/users.js';
import { testInstance } from '../../fixtures/deployment.js';
import { app, claim, type StoreTest } from './store.js';

const address = { host: '127.0.0.1', port: 20_001 };

async function kinds(cmdb: Cmdb, name?: string): Promise<string[]> {
  const { events } = await cmdb.ledger({ limit: 1_000, ...(name !== undefined && { app: name }) });
  return events.map(({ kind, cause }) => (cause === undefined ? kind : `${kind} ${cause}`));
}

/** One life of an instance, change by change. */
async function live(cmdb: Cmdb, id = claim.id): Promise<void> {
  await cmdb.update('shop', (current) => claimBoot(current, app, { ...claim, id }, 1_000));
  await cmdb.update('shop', (current) => bootSucceeded(current, id, { address, boot: {}, user: 'me' }, 1_250));
  await cmdb.update('shop', (current) => releaseUser(current, id, 'me', 2_000));
  await cmdb.update('shop', (current) => startDrain(current, id, 'idle', 12_000));
  const termination = { owner: 'me', reason: 'idle', stopTimeoutMs: 1 } as const;
  await cmdb.update('shop', (current) => startTerminate(current, id, termination, 12_000));
  await cmdb.update('shop', (current) => confirmGone(current, id));
}

const life = ['booting request', 'ready', 'draining idle', 'terminating idle', 'ended idle'];

export function ledgerConformance(test: StoreTest): void {
  test('each change of an instance is in the ledger once, and what changes none is not', async (t, cmdb, store) => {
    await cmdb.apply({ put: [app], remove: [] });
    await live(cmdb);
    t.same(await kinds(cmdb), life);
    t.same(await kinds(store.open(), 'shop'), life, 'of the app, for any handle');
    t.same(await kinds(cmdb, 'other'), []);
    const { events } = await cmdb.ledger({ limit: 10 });
    t.match(events[1], { app: 'shop', instance: 'shop-1', host: 'here', node: 'me', bootMs: 250 });
    t.match(events[4], { readyAt: 1_250 });
    t.ok(Math.abs((events[0]?.at ?? 0) - Date.now()) < 600_000, 'by the clock of the store');
    await cmdb.update('shop', (current) => registerUser(addInstance(current, testInstance()), 'shop-1', 'me', 1));
    await cmdb.update('shop', (current) => releaseUser(current, 'shop-1', 'me', 1));
    t.same(await kinds(cmdb), [...life, 'found ready'], 'uses are no events');
  });

  test('what stands behind a change is noted with it', async (t, cmdb) => {
    await cmdb.apply({ put: [{ ...app, labels: { customer: 'c4711' } }], remove: [] });
    const request = {
      host: 'shop.example',
      method: 'GET',
      path: '/cart',
      agent: 'bot',
      client: '192.0.2.0/24',
    } as const;
    await cmdb.update('shop', (current, stored) => claimBoot(current, stored!, claim, 1), { request });
    const failure = { code: 'boot_failed', message: 'exit code 1' } as const;
    await cmdb.update('shop', (current) => bootRefused(current, claim.id, failure, 2), { output: 'no database\n' });
    await cmdb.update('shop', (current) => addInstance(current, testInstance({ id: 'shop-2' })));
    const died = { exit: 'signal SIGSEGV', output: '\u001b[31moops' };
    await cmdb.update('shop', (current) => instanceDied(current, 'shop-2', 'signal SIGSEGV', 20_000), died);
    const labels = { customer: 'c4711' };
    t.match((await cmdb.ledger({ limit: 10 })).events, [
      { kind: 'booting', request, labels },
      { kind: 'failed', cause: 'boot_failed', message: 'exit code 1', output: 'no database\n', labels },
      { kind: 'found', labels },
      { kind: 'exited', message: 'signal SIGSEGV', output: '^[[31moops', labels },
    ]);
  });

  test('readers go on after the last event that they know, as soon as there are more', async (t, cmdb) => {
    await cmdb.apply({ put: [app], remove: [] });
    const empty = await cmdb.ledger({ limit: 10 });
    t.same(empty.events, []);
    await live(cmdb);
    const first = await cmdb.ledger({ limit: 2, after: empty.position });
    t.same(
      first.events.map(({ kind }) => kind),
      ['booting', 'ready'],
    );
    const rest = await cmdb.ledger({ limit: 10, after: first.position });
    t.same(
      rest.events.map(({ kind }) => kind),
      ['draining', 'terminating', 'ended'],
    );
    t.equal(rest.gap, false);
    t.same(await cmdb.ledger({ limit: 10, after: rest.position }), { events: [], position: rest.position, gap: false });
    t.same((await cmdb.ledger({ limit: 10, app: 'shop', after: first.position })).events, rest.events);
    const latest = await cmdb.ledger({ limit: 2 });
    t.same(
      latest.events.map(({ kind }) => kind),
      ['terminating', 'ended'],
      'without a place the latest, in their order',
    );
    const ids = [...first.events, ...rest.events].map(({ id }) => id.split('-').map(Number));
    t.same(
      ids.toSorted(([a = 0, b = 0], [c = 0, d = 0]) => a - c || b - d),
      ids,
      'ids grow',
    );
  });

  test('the ledger is bounded, and tells readers that it lost something', async (t, cmdb, store) => {
    await cmdb.apply({ put: [app], remove: [] });
    await live(cmdb);
    const { position } = await cmdb.ledger({ limit: 1, app: 'shop', after: '0-0' });
    // A stream is trimmed in blocks of a hundred entries.
    const rounds = Math.ceil((Math.max(store.logLength, 100) + 200) / 2);
    for (let round = 0; round < rounds; round += 1) {
      await cmdb.update('shop', (current) => addInstance(current, testInstance({ id: `shop-${round}` })));
      await cmdb.update('shop', (current) => confirmGone(current, `shop-${round}`));
    }
    t.equal((await kinds(cmdb, 'shop')).length, 100);
    t.ok((await kinds(cmdb)).length <= store.logLength + 200);
    for (const which of [{}, { app: 'shop' }]) {
      const page = await cmdb.ledger({ limit: 5, after: position, ...which });
      t.equal(page.gap, true);
      t.equal((await cmdb.ledger({ limit: 5, after: page.position, ...which })).gap, false);
    }
  });

  test('what an app had is not told of the next app of its name', async (t, cmdb) => {
    await cmdb.apply({ put: [app], remove: [] });
    await cmdb.update('shop', (current) => addInstance(current, testInstance()));
    await cmdb.apply({ put: [], remove: ['shop'] });
    await cmdb.update('shop', (current) => confirmGone(current, 'shop-1'));
    t.same(await kinds(cmdb, 'shop'), []);
    t.same(await kinds(cmdb), ['found ready', 'lost'], 'the ledger of all apps has it');
    await cmdb.apply({ put: [app], remove: [] });
    t.same(await kinds(cmdb, 'shop'), []);
  });

  test('a change that is not stored leaves nothing in the ledger', async (t, cmdb) => {
    await cmdb.apply({ put: [app], remove: [] });
    await t.rejects(
      cmdb.update('shop', () => {
        throw new Error('no');
      }),
    );
    await cmdb.update('shop', (current) => current);
    t.same(await kinds(cmdb), []);
  });

  test('of many writers at once each is noted once', async (t, cmdb, store) => {
    await cmdb.apply({ put: [app], remove: [] });
    const other = store.open();
    await Promise.all(
      Array.from({ length: 10 }, (_, number) =>
        [cmdb, other][number % 2]!.update('shop', (current) =>
          addInstance(current, testInstance({ id: `shop-${number}` })),
        ),
      ),
    );
    t.equal(new Set((await cmdb.ledger({ limit: 100 })).events.map(({ instance }) => instance)).size, 10);
    t.equal((await kinds(cmdb)).length, 10);
  });

  test('what is no id of an event is refused', async (t, cmdb) => {
    for (const after of ['', 'x', '1', '-1-0', '1-0-0', `${'9'.repeat(40)}-0`])
      await t.rejects(cmdb.ledger({ limit: 1, after }), RangeError, after);
  });
}
