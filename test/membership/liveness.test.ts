import t from 'tap';
import { Liveness } from '../../src/membership/liveness.js';
import { defaultSessionTiming } from '../../src/membership/session-timing.js';
import type { Session } from '../../src/cmdb/cmdb.js';

const session = (incarnation: string, beats: number): Session => ({
  incarnation,
  host: 'there',
  beats,
  process: { pid: 1, startTime: '1', bootId: 'b' },
});

t.test('a session whose counter moves is alive', async (t) => {
  const liveness = new Liveness(defaultSessionTiming, () => false);
  liveness.observe([session('a', 1)], 0, 0);
  liveness.observe([session('a', 2)], 11_000, 11_000);
  t.equal(liveness.verdict('a', 22_000, true), 'alive');
});

t.test('one whose counter stands still is silent, but only for whoever may judge', async (t) => {
  const liveness = new Liveness(defaultSessionTiming, () => false);
  liveness.observe([session('a', 1)], 0, 0);
  liveness.observe([session('a', 1)], 12_001, 12_000);
  t.equal(liveness.verdict('a', 12_001, false), 'alive');
  t.equal(liveness.verdict('a', 12_001, true), 'silent');
  t.equal(liveness.verdict('a', 11_999, true), 'alive');
});

t.test(
  'one that is silent for longer than the outage grace is revoked, and gone once the store has dropped it',
  async (t) => {
    const liveness = new Liveness(defaultSessionTiming, () => false);
    liveness.observe([session('a', 1)], 0, 0);
    t.equal(liveness.verdict('a', 300_001, true), 'silent');
    t.same(liveness.toRevoke(), ['a']);
    liveness.observe([], 303_000, 303_000);
    t.same(liveness.toRevoke(), []);
    t.equal(liveness.verdict('a', 303_001, true), 'unknown');
    liveness.observe([], 306_000, 306_000);
    t.equal(liveness.verdict('a', 306_001, true), 'gone');
  },
);

t.test('one whose process is proved dead is gone at once and revoked', async (t) => {
  const liveness = new Liveness(defaultSessionTiming, ({ incarnation }) => incarnation === 'dead');
  liveness.observe([session('dead', 5)], 0, 0);
  t.equal(liveness.verdict('dead', 1, false), 'gone');
  t.same(liveness.toRevoke(), ['dead']);
  liveness.observe([], 10, 10);
  t.equal(liveness.verdict('dead', 11, false), 'gone', 'also when the store has dropped it');
});

t.test('one that no beat showed is unknown until a beat sent after the question lacks it too', async (t) => {
  const liveness = new Liveness(defaultSessionTiming, () => false);
  t.equal(liveness.verdict('new', 10, true), 'unknown');
  liveness.observe([], 20, 5);
  t.equal(liveness.verdict('new', 21, true), 'unknown', 'this beat was on its way before the question');
  liveness.observe([session('new', 0)], 40, 30);
  t.equal(liveness.verdict('new', 41, true), 'alive');
});

t.test('the first live session of a machine leads it; one that is silent, gone or elsewhere does not', async (t) => {
  const dead = new Set<string>();
  const liveness = new Liveness(defaultSessionTiming, ({ incarnation }) => dead.has(incarnation));
  const all = (beats: number) => ['c', 'b', 'a'].map((incarnation) => session(incarnation, beats));
  liveness.observe([...all(1), { ...session('0', 1), host: 'elsewhere' }], 0, 0);
  t.equal(liveness.firstOf('there', 0, true), 'a');
  t.equal(liveness.firstOf('nowhere', 0, true), undefined);
  liveness.observe([session('a', 1), session('b', 2), session('c', 2)], 12_001, 12_001);
  t.equal(liveness.firstOf('there', 12_001, true), 'b', 'a is silent');
  t.equal(liveness.firstOf('there', 12_001, false), 'a', 'but nobody may judge yet');
  dead.add('b');
  liveness.observe([session('b', 2), session('c', 3)], 13_000, 13_000);
  t.equal(liveness.firstOf('there', 13_000, true), 'c', 'b is proved dead');
});
