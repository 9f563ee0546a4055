import t from 'tap';
import { pauseAfter, renewalAt } from '../../src/certify/renewal-policy.js';

const dayMs = 86_400_000;

t.test('a certificate is renewed at two thirds of its life or a little before', (t) => {
  for (const days of [6, 45, 90]) {
    t.equal(renewalAt(0, days * dayMs, 0), Math.round((days * dayMs * 2) / 3));
    t.equal(renewalAt(0, days * dayMs, 1), Math.round(days * dayMs * (2 / 3 - 1 / 24)));
  }
  t.end();
});

t.test('the pause after failures doubles from a minute up to a day, and jitters by a quarter', (t) => {
  t.same(
    [1, 2, 3, 4].map((failures) => pauseAfter(failures, 0)),
    [60_000, 120_000, 240_000, 480_000],
  );
  t.equal(pauseAfter(40, 0), dayMs);
  t.equal(pauseAfter(4_000, 1), 1.25 * dayMs);
  t.end();
});
