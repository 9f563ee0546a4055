import { connect } from 'node:net';
import t from 'tap';
import { ok, rawUpstream, sendRaw } from '../fixtures/raw.js';
import { startRelay } from '../fixtures/relay.js';
import { eventually } from '../fixtures/eventually.js';

// Each chunk that is passed on costs both sides a hundred bytes of memory and a write, however short it is.
const letters = Array.from({ length: 5_000 }, (_, at) => String.fromCharCode(97 + (at % 26)));
const body = letters.join('');
const inBytes = letters.map((byte) => `1\r\n${byte}\r\n`).join('');
/** Of a read, and of what the kernel cuts in two. */
const fewPieces = 50;

/** The bodies of chunks, in their order. */
function chunksOf(text: string): string[] {
  const pieces = text.slice(text.indexOf('\r\n\r\n') + 4).split('\r\n');
  return pieces.filter((_, at) => at % 2 === 1);
}

t.test('an answer that comes byte by byte reaches the client whole, in few pieces', async (t) => {
  const answer = `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${inBytes}0\r\n\r\n`;
  const upstream = await rawUpstream(t, (socket) => void socket.write(answer));
  const { port } = await startRelay(t, { upstreamPort: upstream.port });
  const chunks = chunksOf(await sendRaw(port, 'GET / HTTP/1.1\r\nHost: a\r\n\r\n'));
  t.equal(chunks.join(''), body);
  t.ok(chunks.length < fewPieces, `${chunks.length} pieces`);
});

t.test('a request that comes byte by byte reaches the app whole, in few pieces', async (t) => {
  const upstream = await rawUpstream(t, (socket, received) => {
    if (received.endsWith('\r\n0\r\n\r\n')) socket.write(ok);
  });
  const { port } = await startRelay(t, { upstreamPort: upstream.port });
  const head = 'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n';
  t.match(await sendRaw(port, `${head}${inBytes}0\r\n\r\n`), /^HTTP\/1\.1 200/);
  const chunks = chunksOf(upstream.received[0] ?? '');
  t.equal(chunks.join(''), body);
  t.ok(chunks.length < fewPieces, `${chunks.length} pieces`);
});

t.test('a byte that comes alone is passed on at once, either way', async (t) => {
  const upstream = await rawUpstream(t, (socket, received) => {
    const chunks = chunksOf(received).filter(Boolean);
    // Each byte is sent only when the one before it was answered.
    if (chunks.length === 1) socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n');
    if (chunks.length > 0) socket.write(`1\r\n${chunks.at(-1)}\r\n`);
  });
  const { port } = await startRelay(t, { upstreamPort: upstream.port });
  const client = connect(port, '127.0.0.1');
  t.teardown(() => client.destroy());
  let answer = '';
  client.on('data', (data) => (answer += data.toString('latin1')));
  client.write('POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n');
  for (const byte of 'abc') {
    client.write(`1\r\n${byte}\r\n`);
    await eventually(() => answer.endsWith(`1\r\n${byte}\r\n`));
  }
  t.same(chunksOf(answer).filter(Boolean), ['a', 'b', 'c']);
});
