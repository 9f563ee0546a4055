import t from 'tap';
import type { AccessRecord } from '../../../src/model/access-record.js';
import { combinedLine, jsonLine } from '../../../src/telemetry/access-log/format.js';

const record: AccessRecord = {
  at: Date.parse('2026-11-30T13:05:09.250Z'),
  client: '203.0.113.77',
  method: 'GET',
  target: '/cart?token=secret',
  version: '1.1',
  host: 'Shop.Example:8080',
  app: 'shop',
  instance: 'shop-1',
  cold: true,
  phases: { lookup: 0.06, start: 31.27 },
  status: 200,
  outcome: 'complete',
  error: undefined,
  bytesIn: 120,
  bytesOut: 4567,
  durationMs: 45.67,
  requestId: 'abc-1',
  traceparent: undefined,
  userAgent: 'curl/8',
  referer: 'https://shop.example/?q=1',
};

t.test('a JSON line tells everything that is known, with its query left out', async (t) => {
  const line = jsonLine(record, ['query']);
  t.ok(line.endsWith('}\n'));
  t.same(JSON.parse(line), {
    ...{ time: '2026-11-30T13:05:09.250Z', app: 'shop', instance: 'shop-1', domain: 'shop.example' },
    ...{ client: '203.0.113.77', method: 'GET', target: '/cart?-', http: '1.1', status: 200, temperature: 'cold' },
    ...{ outcome: 'complete', bytesIn: 120, bytesOut: 4567, durationMs: 45.7, phases: { lookup: 0.1, start: 31.3 } },
    ...{ requestId: 'abc-1', userAgent: 'curl/8', referer: 'https://shop.example/?-' },
  });
  t.match(JSON.parse(jsonLine(record, [])), { target: '/cart?token=secret', referer: 'https://shop.example/?q=1' });
});

t.test('a combined line is that of Apache with the domain in front', async (t) => {
  t.equal(
    combinedLine(record, ['query']),
    'shop.example 203.0.113.77 - - [30/Nov/2026:13:05:09 +0000] "GET /cart?- HTTP/1.1" 200 4567 "https://shop.example/?-" "curl/8"\n',
  );
  const unread = { ...record, target: undefined, host: undefined, client: undefined, userAgent: undefined };
  t.match(combinedLine(unread, ['referer']), /^- - - - \[.*\] "-" 200 4567 "-" "-"\n$/);
});

t.test('a client is told by its network alone if that is wanted', async (t) => {
  const clientOf = (client: string) =>
    (JSON.parse(jsonLine({ ...record, client }, ['client'])) as { client: string }).client;
  t.same(['203.0.113.77', '2001:db8:1:2::9', '2001:db8:1:2::/64', '::1', 'unknown'].map(clientOf), [
    '203.0.113.0',
    '2001:db8:1::',
    '2001:db8:1::',
    '::',
    '-',
  ]);
});

t.test('hostile bytes cannot end a line, leave their field, or make it long', async (t) => {
  const hostile = `"\\\n\r\u001b[31m\u0000\u007f\u0085\u202e\u00ff", "app":"other`;
  const all = { target: `/${hostile}`, userAgent: hostile, referer: hostile, method: hostile, requestId: hostile };
  const json = jsonLine({ ...record, ...all }, []);
  t.match(json, /^[ -~]+\n$/);
  t.match(JSON.parse(json), { app: 'shop', userAgent: hostile, target: `/${hostile}` });
  const combined = combinedLine({ ...record, ...all }, []);
  t.match(combined, /^[ -~]+\n$/);
  t.equal(combined.split('"').length, 7, 'no quote but those of the format');
  for (const long of ['a'.repeat(70_000), '\n'.repeat(70_000), '\u00ff'.repeat(70_000)]) {
    const everywhere = { ...record, target: long, userAgent: long, referer: long, method: long };
    t.ok(jsonLine(everywhere, []).length < 4_096);
    t.ok(combinedLine(everywhere, []).length < 4_096);
    t.ok(JSON.parse(jsonLine(everywhere, [])));
  }
});
