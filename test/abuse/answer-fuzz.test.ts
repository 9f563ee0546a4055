import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { int, pick, type Random, seeded } from '../../scripts/load/random.js';
import { eventually } from '../fixtures/eventually.js';
import { good } from '../fixtures/hostile-upstream.js';
import { rawUpstream } from '../fixtures/raw.js';
import { startRelay } from '../fixtures/relay.js';
import { ask } from '../fixtures/request.js';

/** A third of FASTCONTAINER_FUZZ_SECONDS; FASTCONTAINER_TEST_SEED repeats it. */
const seconds = Number(process.env['FASTCONTAINER_FUZZ_SECONDS'] ?? 15) / 3;
const seed = Number(process.env['FASTCONTAINER_TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 32));
const perBatch = 150;

const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n';
const requests = [
  `GET /# HTTP/1.1\r\nHost: a\r\n${upgrade}\r\n`,
  `GET /# HTTP/1.1\r\nHost: a\r\n${upgrade}\r\nearly`,
  'GET /# HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: tcp/1, udp\r\n\r\n',
  'GET /# HTTP/1.1\r\nHost: a\r\n\r\n',
  'GET /# HTTP/1.0\r\nHost: a\r\n\r\n',
  'HEAD /# HTTP/1.1\r\nHost: a\r\n\r\n',
  'POST /# HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello',
  'POST /# HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello',
  'POST /# HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel',
];
const statusLines = [
  ...['200 OK', '200', '204 No Content', '304 Not Modified', '403 No', '426 Upgrade Required', '999 Odd', '000 None'],
  ...['101 Switching Protocols', '100 Continue', '103 Early Hints', '102 Processing', '199 ?', '200 \xe2\x9c\x93'],
].map((status) => `HTTP/1.1 ${status}`);
const oddLines = [
  'HTTP/1.0 200 OK',
  'HTTP/2.0 200 OK',
  'HTTP/1.2 200 OK',
  'ICY 200 OK',
  'garbage',
  '',
  'HTTP/1.1 20',
  '\0',
];
const headers = [
  ...['identity', 'gzip, chunked', 'chunked, chunked', 'x', 'chunked', 'Chunked', ' chunked', '', 'chunked;q=1'].map(
    (coding) => `Transfer-Encoding: ${coding}`,
  ),
  ...['0', '5', '5, 5', '-1', '+5', '0x5', '99999999999999999999', ''].map((length) => `Content-Length: ${length}`),
  ...['Trailer: X', 'Trailer: Content-Length', 'Upgrade: websocket', 'Upgrade: tcp/1', 'Upgrade: h2c', 'Upgrade:'],
  ...['Connection: close', 'Connection: upgrade', 'Connection: Content-Length, Trailer, X', 'Keep-Alive: timeout=0'],
  ...['Keep-Alive: timeout=x', 'X: a\x01b', 'X: \xff\xfe', 'X : a', ': a', 'X', 'X: a\nY: b', ' folded', 'X: a\r b'],
  ...['Link: </a>; rel=preload, </b>; rel="a, b"', 'Link: x', 'Location: /\x80', 'Set-Cookie: a=1', '__proto__: x'],
  ...['Date: never', 'Server-Timing: a;dur=1', `X-Long: ${'y'.repeat(70_000)}`, 'Sec-WebSocket-Accept: x'],
];
const bodies = [
  ...[
    '',
    'hello',
    '5\r\nhello\r\n0\r\n\r\n',
    '5\r\nhello\r\n0\r\nX: y\r\n\r\n',
    '5\r\nhello\r\n0\r\nContent-Length: 1\r\n\r\n',
  ],
  ...[
    'zz\r\n',
    '5\nhello\n0\n\n',
    'ffffffffffffffff\r\n',
    '\x81\x05hello',
    '\x88\x02\x03\xe8',
    good,
    'x'.repeat(100_000),
  ],
];
const endings: ((socket: Socket) => void)[] = [
  () => {},
  (socket) => void socket.end(),
  (socket) => void socket.destroy(),
  (socket) => void socket.resetAndDestroy(),
];

interface Answer {
  readonly pieces: readonly string[];
  readonly end: (socket: Socket) => void;
}

/** What an app may answer: a header, or several, that mean something or nothing, in pieces, with any end. */
function randomAnswer(random: Random): Answer {
  let text = '';
  for (let heads = 1 + (random() < 0.3 ? int(random, 3) : 0); heads > 0; heads -= 1) {
    const line = pick(random, random() < 0.9 ? statusLines : oddLines);
    const chosen = Array.from({ length: int(random, 4) }, () => `${pick(random, headers)}\r\n`);
    text += `${line}\r\n${chosen.join('')}\r\n`;
  }
  text += pick(random, bodies);
  if (random() < 0.1) text = text.slice(0, int(random, text.length));
  const at = random() < 0.5 ? text.length : int(random, text.length + 1);
  return { pieces: [text.slice(0, at), text.slice(at)].filter(Boolean), end: pick(random, endings) };
}

t.test(
  'whatever an app answers, to requests and to upgrades, its own exchange ends and others are served',
  async (t) => {
    t.comment(`seed ${seed}, ${seconds} s`);
    const random = seeded(seed);
    const answers = new Map<string, Answer>();
    const upstream = await rawUpstream(t, (socket, received) => void misbehave(socket, received));
    const misbehave = async (socket: Socket, received: string) => {
      const ids = received.match(/(?<=^\S+ \/)\w+(?= HTTP\/1\.1\r$)/gm) ?? [];
      const id = ids.at(-1) ?? '';
      if (id === 'good') return void socket.write(good);
      const answer = answers.get(id);
      if (!answer) return;
      answers.delete(id);
      for (const piece of answer.pieces) {
        socket.write(piece, 'latin1');
        await sleep(1);
      }
      answer.end(socket);
    };
    const app = { requestTimeoutMs: 1_000 };
    const relay = await startRelay(t, { upstreamPort: upstream.port, app, requestBodyIdleTimeoutMs: 1_000 });
    const endAt = performance.now() + seconds * 1_000;
    let sent = 0;
    while (performance.now() < endAt) {
      const clients = Array.from({ length: perBatch }, () => {
        const id = `n${(sent += 1)}`;
        const answer = randomAnswer(random);
        const bytes = pick(random, requests).replace('#', id);
        answers.set(id, answer);
        return exchange(relay.port, bytes, random);
      });
      const probes = Array.from({ length: 3 }, () => ask(relay.port, 'a', '/good'));
      for (const { status, body } of await Promise.all(probes)) {
        // The same app answers them: what it still sends on a connection that it had finished with is its own loss.
        const isServed = (status === 200 && body === 'good') || (status === 502 && body.includes('upstream_reset'));
        if (!isServed) return t.fail(`after ${sent} requests a probe got ${status} ${body}`);
      }
      await Promise.all(clients);
      await eventually(() => relay.seats.open.size === 0);
      t.match(await ask(relay.port, 'a', '/good'), { status: 200, body: 'good' });
    }
    t.comment(`${sent} exchanges`);
    t.equal(relay.seats.taken, relay.seats.released);
    await eventually(() => upstream.sockets.size === 0);
  },
);

/** Sends a request and leaves when it is answered, or before. */
async function exchange(port: number, bytes: string, random: Random): Promise<void> {
  const client = connect(port, '127.0.0.1');
  client.on('error', () => {});
  const answered = new Promise<void>((resolve) => {
    client.once('data', () => resolve());
    client.once('close', () => resolve());
  });
  client.write(bytes);
  const leavesEarly = random() < 0.2;
  const resets = random() < 0.5;
  await (leavesEarly ? sleep(int(random, 20)) : answered);
  await sleep(5);
  if (resets) client.resetAndDestroy();
  else client.destroy();
}
