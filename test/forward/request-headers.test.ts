import t from 'tap';
import { ok, rawUpstream, sendRaw } from '../fixtures/raw.js';
import { startRelay } from '../fixtures/relay.js';

const chunkedEnd = '0\r\n\r\n';

/** Name, bytes, status, code. All of them are refused before anything reaches the app. */
const refusals: [string, string, number, string][] = [
  ['two Host headers', 'GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n', 400, 'bad_request'],
  ['two equal Host headers', 'GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n', 400, 'bad_request'],
  ['no Host header', 'GET / HTTP/1.1\r\n\r\n', 400, 'bad_request'],
  ['no Host header in HTTP/1.0', 'GET / HTTP/1.0\r\n\r\n', 400, 'bad_request'],
  ['a Host with a user', 'GET / HTTP/1.1\r\nHost: a@b\r\n\r\n', 400, 'bad_request'],
  ['a Host with a path', 'GET / HTTP/1.1\r\nHost: a/b\r\n\r\n', 400, 'bad_request'],
  ['a Host with two ports', 'GET / HTTP/1.1\r\nHost: a:1:2\r\n\r\n', 400, 'bad_request'],
  ['a Host with a port that is none', 'GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n', 400, 'bad_request'],
  ['a target with a port that is none', 'GET http://a:99999/ HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'bad_request'],
  ['a Host longer than any name', `GET / HTTP/1.1\r\nHost: ${'\xad'.repeat(1_100)}a\r\n\r\n`, 400, 'bad_request'],
  [
    'a target for a host longer than any name',
    `GET http://${'\xad'.repeat(1_100)}a/ HTTP/1.1\r\nHost: a\r\n\r\n`,
    400,
    'bad_request',
  ],
  ['an empty Host', 'GET / HTTP/1.1\r\nHost:\r\n\r\n', 400, 'bad_request'],
  [
    'Transfer-Encoding and Content-Length',
    `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n${chunkedEnd}`,
    400,
    'bad_request',
  ],
  [
    'Transfer-Encoding in HTTP/1.0',
    `POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n${chunkedEnd}`,
    400,
    'bad_request',
  ],
  [
    'identity, chunked',
    `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity, chunked\r\n\r\n${chunkedEnd}`,
    400,
    'bad_request',
  ],
  [
    'gzip, chunked',
    `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n${chunkedEnd}`,
    400,
    'bad_request',
  ],
  [
    'chunked twice',
    `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n${chunkedEnd}`,
    400,
    'bad_request',
  ],
  ['xchunked', `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n${chunkedEnd}`, 400, 'bad_request'],
  [
    'two Content-Lengths',
    'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nhi',
    400,
    'bad_request',
  ],
  ['a signed Content-Length', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +2\r\n\r\nhi', 400, 'bad_request'],
  ['a listed Content-Length', 'POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2, 2\r\n\r\nhi', 400, 'bad_request'],
  ['a bare LF', 'GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n', 400, 'bad_request'],
  ['a bare CR', 'GET / HTTP/1.1\r\nHost: a\rX: y\r\n\r\n', 400, 'bad_request'],
  ['a folded header', 'GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n', 400, 'bad_request'],
  ['a space before the colon', 'GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n', 400, 'bad_request'],
  ['a NUL in a header', 'GET / HTTP/1.1\r\nHost: a\r\nX: \0\r\n\r\n', 400, 'bad_request'],
  ['HTTP/2.0', 'GET / HTTP/2.0\r\nHost: a\r\n\r\n', 400, 'bad_request'],
  ['HTTP/0.9', 'GET /\r\n\r\n', 400, 'bad_request'],
  ['garbage', '\x16\x03\x01\x02\x00\x01\x00\x01', 400, 'bad_request'],
  ['an asterisk of another method than OPTIONS', 'GET * HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'bad_request'],
  ['CONNECT', 'CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'bad_request'],
  ['an ftp target', 'GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n', 400, 'bad_request'],
  ['an unknown Expect', 'GET / HTTP/1.1\r\nHost: a\r\nExpect: 200-ok\r\n\r\n', 417, 'expectation_failed'],
  [
    'an unknown Expect before a known one',
    'POST / HTTP/1.1\r\nHost: a\r\nExpect: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx',
    417,
    'expectation_failed',
  ],
  [
    'an unknown Expect behind a known one',
    'POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nExpect: x\r\nContent-Length: 1\r\n\r\nx',
    417,
    'expectation_failed',
  ],
  ['large headers', `GET / HTTP/1.1\r\nHost: a\r\nX: ${'y'.repeat(20_000)}\r\n\r\n`, 431, 'headers_too_large'],
  [
    'large chunk extensions',
    `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2;${'x'.repeat(20_000)}\r\nhi\r\n${chunkedEnd}`,
    413,
    'payload_too_large',
  ],
];

t.test('what smuggles or cannot be routed is refused with its code, and the app never sees it', async (t) => {
  const upstream = await rawUpstream(t, (socket) => socket.write(ok));
  const { port } = await startRelay(t, { upstreamPort: upstream.port });
  for (const [name, bytes, status, code] of refusals) {
    const before = upstream.received.join('').length;
    const answer = await sendRaw(port, bytes, 50);
    if (name !== 'large chunk extensions') {
      t.match(answer, new RegExp(`^HTTP/1.1 ${status} `), name);
      t.match(answer, new RegExp(`x-fastcontainer-error: ${code}\r\n`, 'i'), name);
      t.equal(upstream.received.join('').length, before, `${name}: nothing was forwarded`);
    }
  }
});

t.test('every port that there is may stand behind a host', async (t) => {
  const upstream = await rawUpstream(t, (socket) => socket.write(ok));
  const { port } = await startRelay(t, { upstreamPort: upstream.port });
  for (const host of ['a:65535', 'a:9999', 'a:00080', 'a:60000', '[::1]:65499', 'a:'])
    t.match(
      await sendRaw(port, `GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`),
      /^HTTP\/1\.1 200 /,
      host,
    );
});

t.test('an absolute-form target wins over Host', async (t) => {
  const upstream = await rawUpstream(t, (socket) => socket.write(ok));
  const { port } = await startRelay(t, { upstreamPort: upstream.port });
  await sendRaw(port, 'GET http://shop.example:81/x?y HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n');
  t.match(upstream.received[0], /^GET \/x\?y HTTP\/1\.1\r\nhost: shop\.example:81\r\n/i);
  t.notMatch(upstream.received[0], /other/);
});

t.test('nothing that a lenient app receives can be read as a second request', async (t) => {
  const upstream = await rawUpstream(t, (socket) => socket.write(ok));
  const { port } = await startRelay(t, { upstreamPort: upstream.port });
  const smuggled = 'GET /admin HTTP/1.1\r\nHost: a\r\n\r\n';
  const attempts = [
    `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: ${smuggled.length}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n${smuggled}`,
    `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\nContent-Length: 0\r\n\r\n${smuggled}`,
    `GET / HTTP/1.1\r\nHost: a\r\nContent-Length: ${smuggled.length}\r\nConnection: Content-Length\r\n\r\n${smuggled}`,
    `POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nConnection: Transfer-Encoding\r\n\r\n${smuggled.length.toString(16)}\r\n${smuggled}\r\n0\r\n\r\n`,
  ];
  for (const attempt of attempts) await sendRaw(port, attempt, 100);
  for (const bytes of upstream.received) t.ok(framesWhole(bytes), JSON.stringify(bytes));
});

/** Reads requests as a strict server does, and tells whether the smuggled line only ever stood inside a body. */
function framesWhole(bytes: string): boolean {
  let rest = bytes;
  while (rest !== '') {
    const end = rest.indexOf('\r\n\r\n');
    if (end < 0) return false;
    const head = rest.slice(0, end);
    if (head.startsWith('GET /admin')) return false;
    rest = rest.slice(end + 4);
    const length = /\r\ncontent-length: (\d+)/i.exec(head)?.[1];
    if (/\r\ntransfer-encoding: chunked/i.test(head)) {
      for (;;) {
        const size = /^([0-9a-f]+)\r\n/i.exec(rest);
        if (!size) return rest === '';
        const bytesOfChunk = Number.parseInt(size[1] ?? '0', 16);
        rest = rest.slice(size[0].length + bytesOfChunk + 2);
        if (bytesOfChunk === 0) break;
      }
    } else if (length !== undefined) rest = rest.slice(Number(length));
  }
  return true;
}

t.test('headers that take too long to arrive end the connection', async (t) => {
  const upstream = await rawUpstream(t, (socket) => socket.write(ok));
  const { port } = await startRelay(t, { upstreamPort: upstream.port, headersTimeoutMs: 500 });
  const answer = await sendRaw(port, 'GET / HTTP/1.1\r\nHost: a\r\n', 20_000);
  t.match(answer, /^HTTP\/1\.1 400 .*x-fastcontainer-error: bad_request/s);
});
