import { getEventListeners } from 'node:events';
import { addInstance, startDrain } from '../../../src/model/deployment.js';
import { testInstance } from '../../fixtures/deployment.js';
import { collect } from '../collect.js';
import { app, type StoreTest } from './store.js';

export function changeLogConformance(test: StoreTest): void {
  test('changes are told in order from a position on, with the version they led to', async (t, cmdb, store) => {
    await cmdb.apply({ put: [app], remove: [] });
    const other = store.open();
    const from = await other.changes(undefined, AbortSignal.timeout(5_000));
    t.match(from, { changes: [], gap: false });
    const waiting = collect(other, from.position, 2);
    const { version } = await cmdb.update('shop', (current) => addInstance(current, testInstance()));
    await cmdb.apply({ put: [{ ...app, idleTtlMs: 1 }], remove: [] });
    t.same(await waiting, [{ app: 'shop', version }, { app: 'shop' }]);
    t.same(await collect(cmdb, from.position, 2), [{ app: 'shop', version }, { app: 'shop' }], 'any handle may go on');
  });

  test('a change names the machines whose own nodes have to act on it', async (t, cmdb) => {
    await cmdb.apply({ put: [app], remove: [] });
    const { position } = await cmdb.changes(undefined, AbortSignal.timeout(5_000));
    const lone = testInstance({ host: 'web "2"', users: {} });
    await cmdb.update('shop', (current) => addInstance(current, lone));
    await cmdb.update('shop', (current) => startDrain(current, lone.id, 'idle', 1));
    const hosts = (await collect(cmdb, position, 2)).map((change) => change.hosts);
    t.same(hosts, [undefined, ['web "2"']]);
  });

  test('waiting for changes ends with the signal', async (t, cmdb) => {
    const { position } = await cmdb.changes(undefined, AbortSignal.timeout(5_000));
    const stop = new AbortController();
    const waiting = cmdb.changes(position, stop.signal);
    stop.abort();
    t.match(await waiting, { changes: [], gap: false });
    await cmdb.apply({ put: [app], remove: [] });
    t.same(await collect(cmdb, position, 1), [{ app: 'shop' }], 'nothing was missed');
  });

  test('waiting again and again leaves nothing on the signal', async (t, cmdb) => {
    let { position } = await cmdb.changes(undefined, AbortSignal.timeout(5_000));
    const { signal } = new AbortController();
    for (let round = 0; round < 3; round += 1) {
      const waiting = cmdb.changes(position, signal);
      await cmdb.apply({ put: [{ ...app, idleTtlMs: round + 1 }], remove: [] });
      ({ position } = await waiting);
    }
    t.equal(getEventListeners(signal, 'abort').length, 0);
  });

  test('whoever fell off the end of the log is told so', async (t, cmdb, store) => {
    await cmdb.apply({ put: [app], remove: [] });
    const { position } = await cmdb.changes(undefined, AbortSignal.timeout(5_000));
    // A stream is trimmed in blocks of a hundred entries.
    for (let round = 0; round < store.logLength + 300; round += 1)
      await cmdb.update('shop', (current) => ({ ...current }));
    const batch = await cmdb.changes(position, AbortSignal.timeout(5_000));
    t.equal(batch.gap, true);
    t.equal((await cmdb.changes(batch.position, AbortSignal.timeout(50))).gap, false);
    t.equal(
      (await cmdb.changes('999999999999999-0', AbortSignal.timeout(50))).gap,
      true,
      'a position of another store',
    );
  });

  test('after a position of another store or of no store there is a gap', async (t, cmdb, store) => {
    await cmdb.apply({ put: [app], remove: [] });
    const { position } = await cmdb.changes(undefined, AbortSignal.timeout(5_000));
    const foreign = [
      position.replace(/^[^:]*/, 'another'),
      position.replace(/\d(?=\D*$)/, '99999999999'),
      '',
      '0',
      '1',
      '0-0',
      '-1',
      '1.5',
      '0x1',
      'NaN',
      'nonsense',
      ':',
      'a:b-c',
      ' ',
    ];
    for (const bad of foreign) {
      const batch = await cmdb.changes(bad, AbortSignal.timeout(5_000));
      t.match(batch, { gap: true, changes: [], position }, JSON.stringify(bad));
    }
    t.equal((await store.open().changes(position, AbortSignal.timeout(20))).gap, false);
  });
}
