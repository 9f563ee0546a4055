import { session, type StoreTest } from './store.js';

export function sessionsConformance(test: StoreTest): void {
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
}
