import type { Socket } from 'node:net';
import t from 'tap';
import { eventually } from '../fixtures/eventually.js';
import { hostileUpstream, type Misdeed } from '../fixtures/hostile-upstream.js';
import { sendRaw } from '../fixtures/raw.js';
import { startRelay } from '../fixtures/relay.js';
import { ask } from '../fixtures/request.js';

const handshake =
  'GET /evil HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n';
const switched = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n';
const says = (bytes: string) => (socket: Socket) => void socket.write(bytes, 'latin1');
const saysAndEnds = (bytes: string) => (socket: Socket) => void socket.end(bytes, 'latin1');

function drips(bytes: string, everyMs: number): Misdeed {
  return (socket) => {
    const timer = setInterval(() => socket.write(bytes), everyMs);
    socket.on('close', () => clearInterval(timer));
  };
}

const reset = /^HTTP\/1\.1 502 .*x-fastcontainer-error: upstream_reset\r\n/is;
type Case = [name: string, misdeed: Misdeed, seen: RegExp];
const cases: Case[] = [
  ['garbage', says('garbage\r\n\r\n'), reset],
  ['a header without end', drips(`X-Pad: ${'y'.repeat(8_000)}\r\n`, 1), reset],
  ['both framings', says('HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok'), reset],
  ['a bare LF', says('HTTP/1.1 101 Switching Protocols\nUpgrade: websocket\nConnection: Upgrade\n\n'), reset],
  ['an end', (socket) => void socket.end(), reset],
  ['a reset', (socket) => void socket.resetAndDestroy(), reset],
  ['silence', () => {}, /^HTTP\/1\.1 504 .*upstream_timeout/is],
  ['interim answers without end', drips('HTTP/1.1 102 Processing\r\n\r\n', 20), /^HTTP\/1\.1 504 .*upstream_timeout/is],
  ['a flood of 102', says('HTTP/1.1 102 Processing\r\n\r\n'.repeat(2_000)), reset],
  ['a flood of 100', says('HTTP/1.1 100 Continue\r\n\r\n'.repeat(2_000)), reset],
  [
    'a refusal byte by byte',
    says(`HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n${'1\r\nx\r\n'.repeat(50_000)}0\r\n\r\n`),
    /^HTTP\/1\.1 403 No\r\nConnection: close\r\n\r\nx{50000}$/,
  ],
  ['a switch without a protocol', says('HTTP/1.1 101 Switching Protocols\r\n\r\n'), reset],
  [
    'a switch to a protocol that was not offered',
    says('HTTP/1.1 101 Switching Protocols\r\nUpgrade: tcp\r\nConnection: Upgrade\r\n\r\n'),
    reset,
  ],
  ...['identity', 'gzip, chunked', 'chunked, chunked', 'x', 'gzip', ''].map((coding): Case => [
    `a refusal in Transfer-Encoding "${coding}"`,
    says(`HTTP/1.1 200 OK\r\nTransfer-Encoding: ${coding}\r\n\r\n0\r\n\r\n`),
    coding === '' ? /^HTTP\/1\.1 (200|502) / : reset,
  ]),
  [
    'a refusal that announces trailers',
    says('HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n2\r\nno\r\n0\r\nX: y\r\n\r\n'),
    /^HTTP\/1\.1 403 No\r\nConnection: close\r\n\r\nno$/,
  ],
  ['a switch and an end', saysAndEnds(switched), /^HTTP\/1\.1 101 /],
  [
    'a switch and a reset',
    (socket) => void socket.write(switched, () => socket.resetAndDestroy()),
    /^(HTTP\/1\.1 (101|502) |$)/,
  ],
  [
    'a switch and a frame of 2^63 bytes',
    saysAndEnds(`${switched}\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xffx`),
    /^HTTP\/1\.1 101 /,
  ],
  ['a refusal that is cut', saysAndEnds('HTTP/1.1 403 No\r\nContent-Length: 100\r\n\r\nhalf'), /^HTTP\/1\.1 403 /],
];

for (const [name, misdeed, seen] of cases) {
  t.test(`an app that answers an upgrade with ${name} leaves nothing, and others are served`, async (t) => {
    const upstream = await hostileUpstream(t, misdeed);
    const relay = await startRelay(t, { upstreamPort: upstream.port, app: { requestTimeoutMs: 700 } });
    t.match(await sendRaw(relay.port, handshake, 4_000), seen);
    await eventually(() => relay.seats.open.size === 0 && upstream.sockets.size === 0);
    t.match(await ask(relay.port, 'a', '/good'), { status: 200, body: 'good' });
  });
}

t.test('an upgrade with headers that say nothing for it is passed on without them', async (t) => {
  const upstream = await hostileUpstream(t, says(switched));
  const relay = await startRelay(t, { upstreamPort: upstream.port });
  for (const header of ['Trailer: X', 'Expect: 100-continue']) {
    const answer = await sendRaw(relay.port, handshake.replace('Host: a', `Host: a\r\n${header}`), 100);
    t.match(answer, /^HTTP\/1\.1 101 /, header);
  }
  t.notMatch(upstream.received.join(''), /^(trailer|expect):/im);
  await eventually(() => relay.seats.open.size === 0 && upstream.sockets.size === 0);
  t.match(await ask(relay.port, 'a', '/good'), { status: 200, body: 'good' });
});
