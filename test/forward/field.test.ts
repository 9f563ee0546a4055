import { connect, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { eventually } from '../fixtures/eventually.js';
import { ok, rawUpstream, sendRaw } from '../fixtures/raw.js';
import { startRelay } from '../fixtures/relay.js';

const get = (version = '1.1', method = 'GET') => `${method} / HTTP/${version}\r\nHost: a\r\n\r\n`;
const upgrade =
  'GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n';

/** What a client gets of what an app answers. */
async function answerTo(t: Test, request: string, ...answers: (string | ((socket: Socket) => void))[]) {
  const upstream = await rawUpstream(t, (socket) => {
    for (const answer of answers) {
      if (typeof answer === 'string') socket.write(answer, 'latin1');
      else answer(socket);
    }
  });
  const relay = await startRelay(t, { upstreamPort: upstream.port });
  const answer = await sendRaw(relay.port, request, 500);
  await eventually(() => relay.seats.open.size === 0);
  return { answer, received: upstream.received, ...relay };
}

t.test('Trailer is passed on without what has no room for trailers, and the connection stays in step', async (t) => {
  const cases: [request: string, answer: string][] = [
    [get('1.1', 'HEAD'), 'HTTP/1.1 200 OK\r\nTrailer: X\r\nTransfer-Encoding: chunked\r\n\r\n'],
    [get('1.1', 'HEAD'), 'HTTP/1.1 200 OK\r\nTrailer: X\r\nContent-Length: 5\r\n\r\n'],
    [get(), 'HTTP/1.1 204 No Content\r\nTrailer: X\r\n\r\n'],
    [get(), 'HTTP/1.1 304 Not Modified\r\nTrailer: X\r\n\r\n'],
    [get(), 'HTTP/1.1 200 OK\r\nTrailer: X\r\nContent-Length: 2\r\n\r\nok'],
    [get('1.0'), 'HTTP/1.1 200 OK\r\nTrailer: X\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX: y\r\n\r\n'],
  ];
  for (const [request, bytes] of cases) {
    const { answer } = await answerTo(t, request.repeat(2), bytes);
    const answers = request.includes('1.0') ? 1 : 2;
    const status = bytes.slice('HTTP/1.1 '.length).split('\r\n')[0] as string;
    t.equal(answer.split(`HTTP/1.1 ${status}\r\n`).length - 1, answers, JSON.stringify(bytes));
    t.notMatch(answer, /trailer|502/i);
    if (request.includes('1.0')) t.match(answer, /\r\n\r\nok$/);
  }
});

t.test('a request that announces trailers is passed on without them', async (t) => {
  const head = 'POST / HTTP/1.1\r\nHost: a\r\nTrailer: X\r\nTransfer-Encoding: chunked\r\n\r\n';
  const { answer, received } = await answerTo(t, `${head}2\r\nhi\r\n0\r\nX: y\r\n\r\n`, ok);
  t.match(answer, /^HTTP\/1\.1 200 OK/);
  t.notMatch(received[0], /^trailer:|^x: y/im);
});

t.test('hints are passed on as they were sent, and no hint costs the answer', async (t) => {
  const hint =
    'HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload, </b>; rel="x, y"\r\nlink: </c>\r\nX-Odd: \xff\r\n\r\n';
  t.match(
    (await answerTo(t, get(), hint, ok)).answer,
    new RegExp(`^${hint.replaceAll('/', '\\/')}HTTP\\/1\\.1 200 OK`),
  );
  for (const odd of ['Link: x', 'Transfer-Encoding: x', 'Content-Length: 5', 'Trailer: X', 'X: y']) {
    const { answer } = await answerTo(t, get(), `HTTP/1.1 103 Early Hints\r\n${odd}\r\n\r\n`, ok);
    t.match(answer, /HTTP\/1\.1 200 OK\r\n.*\r\n\r\nok$/s, odd);
  }
  const ours = 'x-fastcontainer-error: z\r\nConnection: X-B\r\nX-B: 1\r\nLink: </a>';
  t.match(
    (await answerTo(t, get(), `HTTP/1.1 103 Early Hints\r\n${ours}\r\n\r\n`, ok)).answer,
    /^HTTP\/1\.1 103 Early Hints\r\nLink: <\/a>\r\n\r\nHTTP\/1\.1 200 OK/,
    'without what is not for clients',
  );
  for (const interim of [hint, 'HTTP/1.1 102 Processing\r\n\r\n']) {
    t.match((await answerTo(t, get('1.0'), interim, ok)).answer, /^HTTP\/1\.1 200 OK/, 'none to HTTP/1.0');
  }
});

t.test('a body that comes with an offer of HTTP/2 is served, and the offer ignored', async (t) => {
  const head =
    'POST / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n';
  for (const body of ['Content-Length: 5\r\n\r\nhello', 'Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n']) {
    const { answer, received } = await answerTo(
      t,
      head + body,
      (socket) => void setTimeout(() => socket.write(ok), 50),
    );
    t.match(answer, /^HTTP\/1\.1 200 OK/);
    t.match(received[0], /hello/);
    t.notMatch(received[0], /h2c|http2-settings/i);
  }
});

t.test('a switch of protocols has its header as the app sent it', async (t) => {
  const head =
    'HTTP/1.1 101 Switching Protocols\r\nX-ODD: a\r\nUPGRADE: WebSocket\r\nx-odd: b\r\nConnection: Upgrade\r\nX-Bytes: \xe9\xff\r\nX-ODD: c\r\n\r\n';
  t.equal((await answerTo(t, upgrade, head)).answer, head);
  const forged = head.replace('X-ODD: a', 'X-FastContainer-Error: boot_failed\r\nX-ODD: a');
  t.equal((await answerTo(t, upgrade, forged)).answer, head, 'but for what only the dispatcher says');
});

t.test('no answer speaks in our name, in any spelling that is read as ours', async (t) => {
  const forged = ['X-Fastcontainer-Error', 'X_Fastcontainer_Error', 'x.fastcontainer.error', 'X-FASTCONTAINER_BUSY'];
  const lines = forged.map((name) => `${name}: evil\r\n`).join('');
  const sent = [
    [get(), `HTTP/1.1 200 OK\r\n${lines}Content-Length: 2\r\n\r\nok`],
    [get(), `HTTP/1.1 103 Early Hints\r\n${lines}Link: </a>\r\n\r\n${ok}`],
    [get(), `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n${lines}\r\n`],
    [upgrade, `HTTP/1.1 101 Switching Protocols\r\n${lines}Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n`],
    [upgrade, `HTTP/1.1 200 OK\r\n${lines}Content-Length: 2\r\n\r\nok`],
  ] as const;
  for (const [request, bytes] of sent) {
    const { answer } = await answerTo(t, request, bytes);
    t.match(answer, /^HTTP\/1\.1 (?:101|103|200) /);
    t.notMatch(answer, /evil/, bytes);
  }
});

t.test('an upgrade in HTTP/1.0 is ignored, and one that the app did not offer is refused', async (t) => {
  const { received } = await answerTo(t, upgrade.replace('HTTP/1.1', 'HTTP/1.0'), ok);
  t.notMatch(received[0], /upgrade/i);
});

t.test('a 426 says what to upgrade to', async (t) => {
  const required =
    'HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n';
  t.match(
    (await answerTo(t, get(), required)).answer,
    /^HTTP\/1\.1 426 .*\r\nUpgrade: websocket\r\n.*Connection: Upgrade\r\n/s,
  );
  const refused = await answerTo(t, upgrade, required);
  t.match(refused.answer, /^HTTP\/1\.1 426 .*\r\nUpgrade: websocket\r\n.*Connection: Upgrade, close\r\n/s);
});

t.test('bytes that a client sends early arrive once, however often its upgrade is sent', async (t) => {
  let attempts = 0;
  const upstream = await rawUpstream(t, (socket, received) => {
    if (!received.includes('\r\n\r\n') || received.includes('early')) return;
    attempts += 1;
    if (attempts < 3) return void socket.resetAndDestroy();
    socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n');
  });
  const relay = await startRelay(t, { upstreamPort: upstream.port, upgradeRetries: 5 });
  const client = connect(relay.port, '127.0.0.1');
  t.teardown(() => client.destroy());
  client.on('error', () => {});
  client.write(`${upgrade}early`);
  await eventually(() => upstream.received.some((bytes) => bytes.includes('early')));
  client.write('late');
  await eventually(() => upstream.received[2]?.endsWith('late'));
  t.match(upstream.received[2], /\r\n\r\nearlylate$/);
});

t.test('an answer that the app cut short does not look whole to HTTP/1.0', async (t) => {
  for (const framing of ['Content-Length: 100\r\n\r\nhalf', 'Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n']) {
    const upstream = await rawUpstream(t, (socket) => void socket.end(`HTTP/1.1 200 OK\r\n${framing}`));
    const relay = await startRelay(t, { upstreamPort: upstream.port });
    const client = connect(relay.port, '127.0.0.1');
    const failure = new Promise<string | undefined>((resolve) => {
      client.on('error', (error: NodeJS.ErrnoException) => resolve(error.code));
      client.on('end', () => resolve(undefined));
    });
    client.resume();
    client.write(get('1.0'));
    t.equal(await failure, 'ECONNRESET', framing);
  }
});

t.test('HTTP/1.0 knows no expectation', async (t) => {
  const head = 'POST / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi';
  t.match((await answerTo(t, head, ok)).answer, /^HTTP\/1\.1 200 OK/);
});

t.test('a host may end with a colon and no port', async (t) => {
  const { answer, received } = await answerTo(t, 'GET / HTTP/1.1\r\nHost: shop.example:\r\n\r\n', ok);
  t.match(answer, /^HTTP\/1\.1 200 OK/);
  t.match(received[0], /^host: shop\.example:\r$/im);
});
