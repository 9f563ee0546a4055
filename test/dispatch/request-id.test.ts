import t from 'tap';
import { takeRequestId, traceparentOf } from '../../src/dispatch/request-id.js';

t.test('a well-formed id is kept, any other is replaced for the app too', async (t) => {
  const kept = ['Host', 'a', 'x-request-ID', 'abc-1.2'];
  t.equal(takeRequestId(kept), 'abc-1.2');
  t.same(kept, ['Host', 'a', 'x-request-ID', 'abc-1.2']);
  for (const bad of [
    ['X-Request-Id', 'a b'],
    ['X-Request-Id', 'a'.repeat(129)],
    ['X-Request-Id', '1', 'x-request-id', '2'],
    [],
  ]) {
    const headers = ['Host', 'a', ...bad, 'Cookie', 'b'];
    const id = takeRequestId(headers);
    t.match(id, /^[0-9a-f-]{36}$/);
    t.same(headers, ['Host', 'a', 'Cookie', 'b', 'X-Request-Id', id]);
  }
});

t.test('only a traceparent of W3C is told', async (t) => {
  const sound = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
  t.equal(traceparentOf(['Traceparent', sound]), sound);
  for (const bad of [['traceparent', 'x'], ['traceparent', sound, 'Traceparent', sound], []])
    t.equal(traceparentOf(bad), undefined);
});
