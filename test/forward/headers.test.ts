import t, { type Test } from 'tap';
import { proxyHeaderNames, proxyHeaderPrefixes } from '../../src/forward/proxy-headers.js';
import { responseHeaders } from '../../src/forward/response-headers.js';
import { ok, rawUpstream, sendRaw } from '../fixtures/raw.js';
import { startRelay } from '../fixtures/relay.js';

async function receivedFor(t: Test, head: string, trusted = false) {
  const upstream = await rawUpstream(t, (socket) => socket.write(ok));
  const { port } = await startRelay(t, { upstreamPort: upstream.port, trustedProxies: trusted ? ['127.0.0.0/8'] : [] });
  await sendRaw(port, `GET / HTTP/1.1\r\nHost: shop.example\r\n${head}\r\n`, 100);
  return upstream.received[0] ?? '';
}

t.test('hop-by-hop headers stay on their connection, also those that Connection names', async (t) => {
  const received = await receivedFor(
    t,
    'Connection: keep-alive, X-Secret\r\nX-Secret: 1\r\nKeep-Alive: timeout=5\r\nTE: trailers\r\nProxy-Connection: x\r\nProxy: http://evil\r\nX-Kept: 1\r\n',
  );
  t.notMatch(received, /x-secret|keep-alive: timeout|\r\nte:|proxy/i);
  t.match(received, /\r\nX-Kept: 1\r\n/);
});

t.test('Connection cannot take away what the app decides by', async (t) => {
  const received = await receivedFor(
    t,
    'Connection: close, Authorization, X-Forwarded-For, Host\r\nAuthorization: secret\r\n',
  );
  t.match(received, /\r\nAuthorization: secret\r\n/);
  t.match(received, /\r\nX-Forwarded-For: 127\.0\.0\.1\r\n/);
  t.match(received, /^GET \/ HTTP\/1\.1\r\nhost: shop\.example\r\n/i);
});

t.test('what a stranger says of where a request came from is dropped, in any spelling', async (t) => {
  const received = await receivedFor(
    t,
    'X-Forwarded-For: 6.6.6.6\r\nx_forwarded_for: 6.6.6.6\r\nForwarded: for=6.6.6.6\r\nX-Real-IP: 6.6.6.6\r\nX-Forwarded-Proto: https\r\n',
  );
  t.notMatch(received, /6\.6\.6\.6|https/);
  t.match(
    received,
    /\r\nX-Forwarded-For: 127\.0\.0\.1\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: shop\.example\r\n/,
  );
  t.match(received, /\r\nForwarded: for=127\.0\.0\.1;host="shop\.example";proto=http\r\n/);
});

t.test('what a trusted proxy says is kept and continued', async (t) => {
  const received = await receivedFor(
    t,
    'X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\nForwarded: for=1.2.3.4;proto=https\r\nX-Real-IP: 1.2.3.4\r\n',
    true,
  );
  t.match(received, /\r\nX-Forwarded-For: 1\.2\.3\.4, 127\.0\.0\.1\r\n/);
  t.match(received, /\r\nX-Forwarded-Proto: https\r\n/);
  t.match(received, /\r\nForwarded: for=1\.2\.3\.4;proto=https, for=127\.0\.0\.1;/);
  t.match(received, /\r\nX-Real-IP: 1\.2\.3\.4\r\n/);
});

/** The values of a header in a request or answer, in their order. */
function valuesOf(bytes: string, name: string): string[] {
  const lines = (bytes.split('\r\n\r\n')[0] ?? '').split('\r\n').slice(1);
  return lines.filter((line) => line.toLowerCase().startsWith(`${name}: `)).map((line) => line.slice(name.length + 2));
}

t.test('a stranger cannot say under which URL, from where or as whom a request came', async (t) => {
  const names = [...proxyHeaderNames, ...proxyHeaderPrefixes.map((prefix) => `${prefix}x`), 'x-fastcontainer-busy'];
  const spellings = [
    (name: string) => name,
    (name: string) => name.toUpperCase(),
    (name: string) => name.replaceAll('-', '_'),
    (name: string) => name.replaceAll('-', '.'),
    (name: string) => name.replace('-', '~'),
  ];
  for (const spell of spellings) {
    const received = await receivedFor(t, names.map((name) => `${spell(name)}: evil\r\n`).join(''));
    t.match(received, /^GET /);
    t.notMatch(received, /evil/);
  }
});

t.test('the same holds for an upgrade', async (t) => {
  const upstream = await rawUpstream(t, () => {});
  const { port } = await startRelay(t, { upstreamPort: upstream.port });
  const claims = [
    'X-Original-URL',
    'True-Client-IP',
    'X-Forwarded-User',
    'x_forwarded_prefix',
    'X-Fastcontainer-Error',
  ];
  const head = claims.map((name) => `${name}: evil\r\n`).join('');
  await sendRaw(port, `GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n${head}\r\n`, 100);
  t.match(upstream.received[0], /\r\nX-Forwarded-For: 127\.0\.0\.1\r\n/);
  t.notMatch(upstream.received[0], /evil/);
});

t.test('what a trusted proxy says beside it passes as it came, except in its odd spellings', async (t) => {
  const head =
    'X-Forwarded-Prefix: /shop\r\nX-Original-URL: /x\r\nx_forwarded_user: evil\r\nX-Fastcontainer-Busy: 9\r\n';
  const received = await receivedFor(t, head, true);
  t.match(received, /\r\nX-Forwarded-Prefix: \/shop\r\nX-Original-URL: \/x\r\n/);
  t.notMatch(received, /evil|Busy/);
});

t.test('an app does not speak in our place', async (t) => {
  const upstream = await rawUpstream(t, (socket) =>
    socket.write('HTTP/1.1 200 OK\r\nX-Fastcontainer-Error: boot_failed\r\nX-Kept: 1\r\nContent-Length: 0\r\n\r\n'),
  );
  const { port } = await startRelay(t, { upstreamPort: upstream.port });
  const answer = await sendRaw(port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n', 100);
  t.notMatch(answer, /fastcontainer/i);
  t.match(answer, /\r\nX-Kept: 1\r\n/);
});

t.test('all headers agree on where a request came from, whatever form a trusted proxy chose', async (t) => {
  const cases: [string, Record<string, string[]>][] = [
    [
      'X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\n',
      {
        'x-forwarded-for': ['1.2.3.4, 127.0.0.1'],
        'x-forwarded-proto': ['https'],
        'x-forwarded-host': ['shop.example'],
        forwarded: ['for=1.2.3.4;host="shop.example";proto=https, for=127.0.0.1;host="shop.example";proto=https'],
      },
    ],
    [
      'X-Forwarded-For: 2001:db8::1\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: public.example\r\n',
      {
        'x-forwarded-host': ['public.example'],
        forwarded: [
          'for="[2001:db8::1]";host="public.example";proto=https, for=127.0.0.1;host="public.example";proto=https',
        ],
      },
    ],
    [
      'Forwarded: for="[2001:db8::1]:4711";proto=https;host=public.example\r\n',
      {
        'x-forwarded-for': ['2001:db8::1, 127.0.0.1'],
        'x-forwarded-proto': ['https'],
        'x-forwarded-host': ['public.example'],
        forwarded: [
          'for="[2001:db8::1]:4711";host="public.example";proto=https, for=127.0.0.1;host="public.example";proto=https',
        ],
      },
    ],
    [
      'Forwarded: for=1.2.3.4;proto=https\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\n',
      {
        'x-forwarded-for': ['1.2.3.4, 127.0.0.1'],
        forwarded: ['for=1.2.3.4;proto=https, for=127.0.0.1;host="shop.example";proto=https'],
      },
    ],
    [
      'X-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https, http\r\n',
      { 'x-forwarded-proto': ['https, http'], forwarded: [] },
    ],
    ['X-Forwarded-For: nonsense";x\r\n', { 'x-forwarded-for': ['nonsense";x, 127.0.0.1'], forwarded: [] }],
    [
      'Forwarded: nonsense\r\n',
      { 'x-forwarded-for': ['127.0.0.1'], forwarded: ['for=127.0.0.1;host="shop.example";proto=http'] },
    ],
    ['X-Forwarded-Proto: https\r\n', { forwarded: ['for=127.0.0.1;host="shop.example";proto=https'] }],
  ];
  for (const [head, expected] of cases) {
    const received = await receivedFor(t, head, true);
    for (const [name, values] of Object.entries(expected))
      t.same(valuesOf(received, name), values, `${head.trim()}: ${name}`);
  }
});

const short = (count: number) => Array.from({ length: count }, (_, index) => `h${index}: 1\r\n`).join('');

t.test('header lines are never left out in silence: all of a request pass, or it is refused', async (t) => {
  const upstream = await rawUpstream(t, (socket) => socket.write(ok));
  const { port } = await startRelay(t, { upstreamPort: upstream.port, trustedProxies: ['127.0.0.1'] });
  const added = 'X-Forwarded-For: 1.2.3.4\r\nX-Auth-User: alice\r\nContent-Length: 2\r\n\r\nhi';
  t.match(await sendRaw(port, `POST / HTTP/1.1\r\nHost: a\r\n${short(1_100)}${added}`, 100), /^HTTP\/1\.1 431 /);
  t.equal(upstream.received.length, 0, 'nothing of it reached the app');
  t.match(await sendRaw(port, `POST / HTTP/1.1\r\nHost: a\r\n${short(490)}${added}`, 100), /^HTTP\/1\.1 200 /);
  const received = upstream.received[0] ?? '';
  for (const line of ['h489: 1', 'X-Auth-User: alice', 'X-Forwarded-For: 1.2.3.4, 127.0.0.1']) {
    t.ok(received.includes(`\r\n${line}\r\n`), line);
  }
  t.match(received, /\r\n\r\nhi$/);
});

t.test('header lines of an answer are never left out, also where it refuses an upgrade', async (t) => {
  const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket\r\n';
  for (const [head, lines] of [
    ['', 3_000],
    [upgrade, 1_100],
  ] as const) {
    const answer = `HTTP/1.1 403 No\r\n${short(lines)}Set-Cookie: last\r\nContent-Length: 0\r\n\r\n`;
    const upstream = await rawUpstream(t, (socket) => socket.write(answer));
    const { port } = await startRelay(t, { upstreamPort: upstream.port });
    const got = await sendRaw(port, `GET / HTTP/1.1\r\nHost: a\r\n${head}\r\n`, 500);
    t.match(got, /^HTTP\/1\.1 403 /);
    t.match(got, /\r\nSet-Cookie: last\r\n/);
    t.ok(got.includes(`\r\nh${lines - 1}: 1\r\n`));
  }
});

t.test('repeats, order and case are kept both ways', async (t) => {
  const answer =
    'HTTP/1.1 200 Fine\r\nSet-Cookie: a=1\r\nX-ODD-Case: 1\r\nSet-Cookie: b=2\r\nContent-Length: 0\r\n\r\n';
  const upstream = await rawUpstream(t, (socket) => socket.write(answer));
  const { port } = await startRelay(t, { upstreamPort: upstream.port });
  const got = await sendRaw(port, 'GET / HTTP/1.1\r\nHost: a\r\nX-Twice: 1\r\nx-OTHER: 2\r\nX-Twice: 3\r\n\r\n', 100);
  t.match(upstream.received[0], /X-Twice: 1\r\nx-OTHER: 2\r\nX-Twice: 3\r\n/);
  t.match(got, /^HTTP\/1\.1 200 Fine\r\nSet-Cookie: a=1\r\nX-ODD-Case: 1\r\nSet-Cookie: b=2\r\n/);
});

t.test('an app cannot pass on headers that belong to its own connection', async (t) => {
  const raw = [
    'Connection',
    'X-Gone, close',
    'X-Gone',
    '1',
    'Keep-Alive',
    'timeout=1',
    'Transfer-Encoding',
    'chunked',
    'Upgrade',
    'h2',
    'Content-Length',
    '3',
    'X-Kept',
    '1',
  ];
  const buffers = raw.map((text) => Buffer.from(text));
  t.same(responseHeaders(buffers, 200, true), ['Content-Length', '3', 'X-Kept', '1']);
  t.same(responseHeaders(buffers, 204, false), ['X-Kept', '1'], 'a 204 announces no body');
});
