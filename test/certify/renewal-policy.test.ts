import t from 'tap';
import { lifeOf, pauseAfter, renewalAt, renewalOf } from '../../src/certify/renewal-policy.js';
import { makeCertificate } from '../fixtures/certificates.js';

const dayMs = 86_400_000;

t.test('a certificate is renewed at two thirds of its life or a little before', (t) => {
  for (const days of [6, 45, 90]) {
    t.equal(renewalAt({ notBefore: 0, notAfter: days * dayMs }, 0), Math.round((days * dayMs * 2) / 3));
    t.equal(renewalAt({ notBefore: 0, notAfter: days * dayMs }, 1), Math.round(days * dayMs * (2 / 3 - 1 / 24)));
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

t.test('a certificate is renewed within the window that its authority says, if that is of use', async (t) => {
  const pair = await makeCertificate(['shop.example.org']);
  const { notBefore, notAfter } = lifeOf(pair);
  const tenth = notBefore + (notAfter - notBefore) / 10;
  const at = (start: number, end: number) =>
    renewalOf({ pair, renewal: { window: { start, end }, askAt: 0 } }, 'shop.example.org')!;
  const usual = renewalOf({ pair }, 'shop.example.org');
  const soon = at(tenth + 1_000, tenth + 2_000);
  t.ok(soon >= tenth + 1_000 && soon <= tenth + 2_000);
  t.equal(at(notBefore - 2 * dayMs, notBefore - dayMs), Math.round(tenth), 'always at once: not one after the other');
  t.ok(at(notAfter - dayMs, notAfter + 100 * dayMs) < notAfter);
  t.equal(at(notAfter + dayMs, notAfter + 2 * dayMs), usual, 'too late');
  t.equal(at(notBefore + dayMs, notBefore), usual, 'no window');
  t.equal(renewalOf({}, 'shop.example.org'), undefined);
});
