import t from 'tap';
import { ApiError } from '../../src/admin/api-error.js';
import { checkPreconditions, etagOf, isKnownTo, type Preconditions } from '../../src/admin/etag.js';
import { testApp } from '../fixtures/app.js';

const etag = '"abc"';

t.test('a precondition holds as RFC 9110 says', async (t) => {
  const cases: [Preconditions, string | undefined, boolean][] = [
    [{}, etag, true],
    [{ ifMatch: etag }, etag, true],
    [{ ifMatch: '"x", "abc"' }, etag, true],
    [{ ifMatch: '"x"' }, etag, false],
    [{ ifMatch: 'W/"abc"' }, etag, false],
    [{ ifMatch: 'abc' }, etag, false],
    [{ ifMatch: '' }, etag, false],
    [{ ifMatch: '*' }, etag, true],
    [{ ifMatch: '*' }, undefined, false],
    [{ ifMatch: etag }, undefined, false],
    [{ ifNoneMatch: '*' }, undefined, true],
    [{ ifNoneMatch: '*' }, etag, false],
    [{ ifNoneMatch: 'W/"abc"' }, etag, false],
    [{ ifNoneMatch: '"x"' }, etag, true],
  ];
  for (const [preconditions, found, isMet] of cases) {
    const check = () => checkPreconditions(preconditions, found);
    if (isMet) t.doesNotThrow(check, JSON.stringify(preconditions));
    else t.throws(check, ApiError, JSON.stringify(preconditions));
  }
  t.ok(isKnownTo({ ifNoneMatch: 'W/"abc"' }, etag));
  t.notOk(isKnownTo({}, etag));
});

t.test('an ETag names what was written and what it means, not who put it when', async (t) => {
  const of = (idleTtlMs: number, written: Record<string, unknown>, by = 'panel', since = 1) =>
    etagOf({ app: testApp({ idleTtlMs }), origin: { host: 'a', since, api: { by, written } } });
  t.equal(of(1, {}), of(1, {}, 'other', 2));
  t.not(of(1, {}), of(2, {}));
  t.not(of(1, {}), of(1, { plan: 'small' }));
});
