import { Agent } from 'node:http';
import type { Socket } from 'node:net';
import t, { type Test } from 'tap';
import { install, startDaemon } from '../fixtures/daemon.js';
import { eventually } from '../fixtures/eventually.js';
import { evil, good, hostileUpstream, type Misdeed } from '../fixtures/hostile-upstream.js';
import { type Relay, startRelay } from '../fixtures/relay.js';
import { ask, type Answer, instances } from '../fixtures/request.js';

/** What the client of `/evil` may see: the app's answer with this body, our refusal with this code, or a cut connection. */
type Seen = { body: string; status?: number } | { code: string } | 'cut';

const says =
  (bytes: string): Misdeed =>
  (socket) =>
    void socket.write(bytes, 'latin1');
const saysAndEnds =
  (bytes: string): Misdeed =>
  (socket) =>
    void socket.end(bytes, 'latin1');
const drips =
  (bytes: string): Misdeed =>
  (socket) => {
    let at = 0;
    const timer = setInterval(() => {
      socket.write(bytes.slice(at, (at += 5)), 'latin1');
      if (at >= bytes.length) clearInterval(timer);
    }, 1);
    socket.on('close', () => clearInterval(timer));
  };
const answer = (headers: string, body = '') => `HTTP/1.1 200 OK\r\n${headers}\r\n\r\n${body}`;
const reset = { code: 'upstream_reset' };

const cases: [name: string, misdeed: Misdeed, seen: Seen, method?: string][] = [
  ['more than its Content-Length', says(answer('Content-Length: 2', `ok${evil}`)), { body: 'ok' }],
  ['less than its Content-Length', saysAndEnds(answer('Content-Length: 20', 'ok')), 'cut'],
  ['two different Content-Lengths', says(answer('Content-Length: 2\r\nContent-Length: 40', `ok${evil}`)), reset],
  ['two equal Content-Lengths', says(answer('Content-Length: 2\r\nContent-Length: 2', 'ok')), reset],
  ['a list of Content-Lengths', says(answer('Content-Length: 2, 2', 'ok')), reset],
  ['a negative Content-Length', says(answer('Content-Length: -1', 'ok')), reset],
  ['a signed Content-Length', says(answer('Content-Length: +2', 'ok')), reset],
  ['a Content-Length in hexadecimal', says(answer('Content-Length: 0x2', 'ok')), reset],
  ['a Content-Length beyond all numbers', says(answer(`Content-Length: ${'9'.repeat(40)}`, 'ok')), reset],
  [
    'Content-Length and chunks',
    says(answer('Content-Length: 2\r\nTransfer-Encoding: chunked', `2\r\nok\r\n0\r\n\r\n`)),
    reset,
  ],
  [
    'chunks and Content-Length',
    says(answer('Transfer-Encoding: chunked\r\nContent-Length: 2', `2\r\nok\r\n0\r\n\r\n`)),
    reset,
  ],
  ['a coding that the client is not told of', saysAndEnds(answer('Transfer-Encoding: gzip', 'zipped')), reset],
  [
    'a coding under its chunks that the client is not told of',
    says(answer('Transfer-Encoding: gzip, chunked', '6\r\nzipped\r\n0\r\n\r\n')),
    reset,
  ],
  ['chunked twice', says(answer('Transfer-Encoding: chunked, chunked', '2\r\nok\r\n0\r\n\r\n')), reset],
  ['a chunk size that is no number', says(answer('Transfer-Encoding: chunked', 'zz\r\nok\r\n')), 'cut'],
  ['a chunk longer than its size', says(answer('Transfer-Encoding: chunked', `2\r\nokEVIL\r\n0\r\n\r\n`)), 'cut'],
  [
    'more after its last chunk',
    says(answer('Transfer-Encoding: chunked', `2\r\nok\r\n0\r\n\r\n${evil}`)),
    { body: 'ok' },
  ],
  ['a huge trailer', says(answer('Transfer-Encoding: chunked', `2\r\nok\r\n0\r\nX: ${'y'.repeat(80_000)}`)), 'cut'],
  [
    'a Content-Length in its trailer',
    says(answer('Transfer-Encoding: chunked', '2\r\nok\r\n0\r\nContent-Length: 5\r\n\r\n')),
    'cut',
  ],
  [
    'framing in its trailer',
    says(answer('Transfer-Encoding: chunked', '2\r\nok\r\n0\r\nTransfer-Encoding: chunked\r\nHost: x\r\n\r\n')),
    { body: 'ok' },
  ],
  ['a NUL in a header', says(answer('X: a\0b\r\nContent-Length: 2', 'ok')), reset],
  ['a bare LF after a header', says(answer('X: a\nContent-Length: 2', 'ok')), reset],
  ['a bare CR in a header', says(answer('X: a\rb\r\nContent-Length: 2', 'ok')), reset],
  ['a space before the colon', says(answer('X : a\r\nContent-Length: 2', 'ok')), reset],
  ['a header without a name', says(answer(': a\r\nContent-Length: 2', 'ok')), reset],
  ['a header without a colon', says(answer('X\r\nContent-Length: 2', 'ok')), reset],
  [
    '101 that nobody asked for',
    says('HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n'),
    reset,
  ],
  ['100 that nobody asked for', says(`HTTP/1.1 100 Continue\r\n\r\n${good}`), { body: 'good' }],
  ['100 again and again', says(`${'HTTP/1.1 100 Continue\r\nX: y\r\n\r\n'.repeat(50)}${good}`), { body: 'good' }],
  [
    '100 in pieces, among others',
    drips(`HTTP/1.1 102 Processing\r\n\r\nHTTP/1.0 100 Go\r\n\r\n${good}`),
    { body: 'good' },
  ],
  ['100 and an end', saysAndEnds('HTTP/1.1 100 Continue\r\n\r\n'), reset],
  ['half a 100 and an end', saysAndEnds('HTTP/1.1 100 Contin'), reset],
  ['HTTP/2.0', says('HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok'), { body: 'ok' }],
  ['HTTP/0.9', saysAndEnds('<html>ok</html>'), reset],
  ['a status of two digits', says('HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\nok'), reset],
  ['a status of four digits', says('HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok'), reset],
  ['status 000', saysAndEnds('HTTP/1.1 000 None\r\nContent-Length: 2\r\n\r\nok'), reset],
  ['status 999', says('HTTP/1.1 999 Odd\r\nContent-Length: 2\r\n\r\nok'), { body: 'ok', status: 999 }],
  ['a reason in UTF-8', says('HTTP/1.1 200 \xe2\x9c\x93\r\nContent-Length: 2\r\n\r\nok'), { body: 'ok' }],
  ['no reason', says('HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok'), { body: 'ok' }],
  ['a header of raw bytes', says(answer('X: \xff\xfe\r\nContent-Length: 2', 'ok')), { body: 'ok' }],
  [
    '204 with a body',
    says(`HTTP/1.1 204 No Content\r\nContent-Length: ${evil.length}\r\n\r\n${evil}`),
    { body: '', status: 204 },
  ],
  [
    '304 with a body',
    says(`HTTP/1.1 304 Not Modified\r\nContent-Length: ${evil.length}\r\n\r\n${evil}`),
    { body: '', status: 304 },
  ],
  ['HEAD with a body', says(answer(`Content-Length: ${evil.length}`, evil)), { body: '' }, 'HEAD'],
  ['an end before its header', saysAndEnds('HTTP/1.1 200 OK\r\nContent-'), reset],
  ['nothing', (socket) => void socket.end(), reset],
  ['a reset', (socket) => void socket.resetAndDestroy(), reset],
  [
    'a reset in its header',
    (socket) => void socket.write('HTTP/1.1 200 OK\r\n', () => socket.resetAndDestroy()),
    reset,
  ],
  ['a reset in a body without a length', resetInBody, 'cut'],
];

function resetInBody(socket: Socket): void {
  socket.write('HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhalf', () =>
    setTimeout(() => socket.resetAndDestroy(), 20),
  );
}

for (const [name, misdeed, seen, method = 'GET'] of cases) {
  t.test(`an app that answers with ${name} harms its own client only`, async (t) => {
    const upstream = await hostileUpstream(t, misdeed);
    const relay = await startRelay(t, { upstreamPort: upstream.port, app: { requestTimeoutMs: 5_000 } });
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    t.teardown(() => agent.destroy());
    const got = await ask(relay.port, 'a', '/evil', { method, agent }).catch(() => 'cut' as const);
    expectSeen(t, got, seen);
    await victims(t, relay, agent);
    await eventually(() => relay.seats.open.size === 0);
  });
}

function expectSeen(t: Test, got: Answer | 'cut', seen: Seen): void {
  if (seen === 'cut' || got === 'cut') return void t.equal(got === 'cut' ? 'cut' : got.body, seen);
  if ('code' in seen) return void t.equal(got.headers['x-fastcontainer-error'], seen.code, got.body);
  t.match(got, { status: 200, ...seen });
  t.equal(got.body, seen.body);
}

/** Others who ask next, on the same client connection and on new ones, are answered as if nothing had happened. */
async function victims(t: Test, { port }: Relay, agent: Agent): Promise<void> {
  for (let round = 0; round < 3; round += 1) {
    const answers = await Promise.all([
      ask(port, 'a', '/good', { agent }),
      ...Array.from({ length: 4 }, () => ask(port, 'a', '/good')),
    ]);
    t.same(
      answers.map(({ status, body }) => `${status} ${body}`),
      answers.map(() => '200 good'),
    );
  }
}

t.test('the log names what the parser refused', async (t) => {
  const app = `require('net').createServer((s) => s.once('data', () => s.write('HTTP/1.1 200 OK\\nX: y\\n\\n'))).listen(process.env.PORT)`;
  const { port, log } = await startDaemon(t, await install(t, {}, { odd: { command: [process.execPath, '-e', app] } }));
  t.match(await ask(port, 'odd.localhost'), { status: 502, headers: { 'x-fastcontainer-error': 'upstream_reset' } });
  t.match(
    log.find(({ msg }) => msg === 'request refused'),
    { code: 'upstream_reset', cause: /Missing expected CR after response line/ },
  );
});

const wrong: readonly [bytes: string, cause: string][] = [
  ['', 'the app closed the connection'],
  ['HTTP/1.1 200 OK\r\nX: LARGE\r\n\r\n', 'the header of the answer is too large'],
  [
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n',
    'the app switched to another protocol unasked',
  ],
  ['HTTP/1.1 200 OK\nX: y\n\n', 'not valid HTTP: Missing expected CR after response line'],
];

t.test('the log says in plain words what was wrong with an answer', async (t) => {
  const app = `require('net').createServer((s) => { s.on('error', () => {}); s.once('data', (d) => s.end(${JSON.stringify(wrong.map(([bytes]) => bytes))}[/GET .(\\d)/.exec(d)[1]].replace('LARGE', 'y'.repeat(70_000)))) }).listen(process.env.PORT)`;
  const { port, log } = await startDaemon(t, await install(t, {}, { odd: { command: [process.execPath, '-e', app] } }));
  for (const [index, [, cause]] of wrong.entries()) {
    const before = log.length;
    t.equal((await ask(port, 'odd.localhost', `/${index}`)).status, 502);
    const line = log.slice(before).find(({ msg }) => msg === 'request refused');
    t.match(line, { code: 'upstream_reset', app: 'odd' });
    t.equal(line?.cause, cause);
  }
});

t.test('an answer that its app cuts short is a bounded number of log lines with app, instance and cause', async (t) => {
  const app = `require('net').createServer((s) => s.once('data', () => s.end('HTTP/1.1 200 OK\\r\\nContent-Length: 20\\r\\n\\r\\nhalf'))).listen(process.env.PORT)`;
  const { port, admin, log } = await startDaemon(
    t,
    await install(t, {}, { half: { command: [process.execPath, '-e', app] } }),
  );
  for (let round = 0; round < 12; round += 1) await t.rejects(ask(port, 'half.localhost'));
  const lines = () => log.filter(({ msg }) => msg === 'answer cut short');
  await eventually(() => lines()[0]);
  const [instance] = await instances(admin, 'half');
  t.match(lines()[0], {
    level: 40,
    outcome: 'upstream_gone',
    status: 200,
    app: 'half',
    instance: instance?.id,
    client: '127.0.0.1',
    cause: 'the app closed the connection',
  });
  t.ok(lines().length <= 10, 'and not one for each');
});
