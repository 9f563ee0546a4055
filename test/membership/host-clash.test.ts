import { pino } from 'pino';
import t from 'tap';
import { HostClash } from '../../src/membership/host-clash.js';
import type { Session } from '../../src/cmdb/cmdb.js';

function session(incarnation: string, bootId: string, beats = 0, host = 'web1'): Session {
  return { incarnation, host, beats, process: { pid: 7, startTime: '1', bootId } };
}
const mine = session('me', 'here');
const rest = { lastsMs: 12_000, logger: pino({ level: 'silent' }) };
const clash = () => new HostClash({ ...mine, ...rest });

t.test('what another boot of this machine left is no rival', async (t) => {
  const watch = clash();
  for (let now = 0; now < 30_000; now += 3_000) {
    watch.observe([mine, session('old', 'before', 4)], now);
    t.equal(watch.rival, undefined);
    t.ok(watch.isOpen);
    t.notOk(watch.protects(session('old', 'before', 4)));
  }
  watch.observe([mine], 30_000);
  t.notOk(watch.isOpen);
});

t.test('a session of another machine that beats under this name is a rival until it falls silent', async (t) => {
  const watch = clash();
  watch.observe([mine, session('other', 'there', 4)], 0);
  watch.observe([mine, session('other', 'there', 5)], 3_000);
  t.same(watch.rival, { bootId: 'there', pid: 7 });
  t.ok(watch.protects(session('other', 'there', 5)));
  t.notOk(watch.protects(mine));
  watch.observe([mine, session('other', 'there', 5)], 15_000);
  t.ok(watch.rival);
  watch.observe([mine, session('other', 'there', 5)], 15_001);
  t.equal(watch.rival, undefined);
});

t.test('one that comes, or comes back under another name because it was revoked, is a rival at once', async (t) => {
  const watch = clash();
  watch.observe([mine], 0);
  watch.observe([mine, session('other', 'there')], 3_000);
  t.ok(watch.rival);
});

t.test('processes of this machine, other hosts, and machines without a boot id are no rivals', async (t) => {
  const watch = clash();
  const others = [session('worker', 'here', 1), session('b', 'there', 1, 'web2'), session('c', '', 1)];
  watch.observe([mine], 0);
  watch.observe([mine, ...others], 3_000);
  t.equal(watch.rival, undefined);
  const blind = new HostClash({ ...session('me', ''), ...rest });
  blind.observe([], 0);
  blind.observe([session('other', 'there')], 3_000);
  t.equal(blind.rival, undefined);
});

t.test('what a store that took over brings back is not taken for new', async (t) => {
  const watch = clash();
  watch.observe([mine], 0);
  watch.forget();
  watch.observe([mine, session('old', 'before', 4)], 3_000);
  t.equal(watch.rival, undefined);
});
