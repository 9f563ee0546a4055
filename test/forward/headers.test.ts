import t, { type Test } from 'tap';
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
  t.same(responseHeaders(buffers, 200), ['Content-Length', '3', 'X-Kept', '1']);
  t.same(responseHeaders(buffers, 204), ['X-Kept', '1'], 'a 204 announces no body');
});
