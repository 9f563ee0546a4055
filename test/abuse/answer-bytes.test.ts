import t from 'tap';
import { int, pick, type Random, seeded } from '../../scripts/load/random.js';
import { readAnswerAsNode } from '../fixtures/node-parser.js';
import { type ReadAnswer, readAnswer } from '../fixtures/read-answer.js';

/** A third of FASTCONTAINER_FUZZ_SECONDS; FASTCONTAINER_TEST_SEED repeats it. */
const seconds = Number(process.env['FASTCONTAINER_FUZZ_SECONDS'] ?? 15) / 3;
const seed = Number(process.env['FASTCONTAINER_TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 32));

const interim = ['103 Early Hints', '102 Processing', '100 Continue', '199 ?', '101 Switching Protocols'];
const statuses = [...['200 OK', '200', '204 No Content', '304 Not Modified', '426 X', '999 Odd', '200 \xe2\x9c\x93']];
const odd = ['20 OK', '2000 OK', '000 None', '099 X', '200OK', '200\tOK', '', ' 200 OK'];
const versions = ['HTTP/1.0', 'HTTP/2.0', 'HTTP/0.9', 'HTTP/1.2', 'HTTP/1.10', 'http/1.1', 'ICY', 'HTTP', '\0'];
const framing = [
  ...['0', '5', '05', '5 ', '5, 5', '-1', '+5', '0x5', '9'.repeat(16), '9'.repeat(20), '', '5\t'].map(
    (length) => `Content-Length: ${length}`,
  ),
  ...['chunked', 'Chunked', ' chunked ', 'gzip, chunked', 'chunked, chunked', 'identity', 'x', '', 'chunked;q=1'].map(
    (coding) => `Transfer-Encoding: ${coding}`,
  ),
  ...['close', 'keep-alive', 'upgrade', 'Content-Length, close', 'Keep-Alive , x'].map((list) => `Connection: ${list}`),
];
const lines = [
  ...[
    'X: a',
    'x:',
    'X:  a  b \t ',
    'X: \xff\xfe',
    '__proto__: x',
    'Upgrade: h2c',
    'Keep-Alive: timeout=5',
    'Trailer: X',
  ],
  ...['X : a', ': a', 'X', ' folded', 'X: a\nY: b', 'X: a\rb', 'X: a\x01b', 'X: a\x7fb', '\xff: a', 'X: a\r', 'X(: a'],
];
const sizes = [
  '5',
  '05',
  'A',
  '0',
  '5;a',
  '5;a=b',
  '5;a="b c"',
  '5 ',
  ' 5',
  '5;',
  '-5',
  'g',
  '',
  'ffffffffffffffff',
  '5\n',
];
const letters = '0123456789abcdef';

/** An answer that is nearly one, of which any byte may be another. */
function randomBytes(random: Random): string {
  let bytes = '';
  if (random() < 0.1) bytes += pick(random, ['\r\n', '\n', '\r', '\r\n\r\n', 'X']);
  while (random() < 0.2) bytes += randomHead(random, pick(random, interim));
  bytes += randomHead(random, pick(random, random() < 0.95 ? statuses : odd));
  bytes +=
    random() < 0.5 ? randomChunks(random) : pick(random, ['', 'hello', 'hello, and more', 'HTTP/1.1 200 OK\r\n\r\n']);
  if (random() < 0.1) bytes = bytes.slice(0, int(random, bytes.length));
  if (random() < 0.3) bytes = mutated(random, bytes);
  return bytes;
}

function randomHead(random: Random, status: string): string {
  const version = random() < 0.9 ? 'HTTP/1.1' : pick(random, versions);
  const chosen: string[] = [];
  while (random() < 0.5) chosen.push(pick(random, lines.slice(0, random() < 0.9 ? 8 : lines.length)));
  if (random() < 0.8)
    chosen.push(
      random() < 0.6 ? pick(random, ['Content-Length: 5', 'Transfer-Encoding: chunked']) : pick(random, framing),
    );
  if (random() < 0.2) chosen.push(pick(random, framing));
  return `${version} ${status}\r\n${chosen.map((line) => `${line}\r\n`).join('')}\r\n`;
}

function randomChunks(random: Random): string {
  let bytes = '';
  while (random() < 0.7) {
    const size = 1 + int(random, 15);
    const line = random() < 0.95 ? size.toString(16) : pick(random, sizes);
    bytes += `${line}\r\n${letters.slice(0, size)}\r\n`;
  }
  const trailers = random() < 0.3 ? `${pick(random, [...lines, ...framing])}\r\n` : '';
  return `${bytes}0\r\n${trailers}\r\n`;
}

function mutated(random: Random, bytes: string): string {
  const at = int(random, bytes.length + 1);
  const other =
    random() < 0.5
      ? pick(random, ['\r', '\n', '\r\n', '\0', ' ', ':', ';', '\t'])
      : String.fromCharCode(int(random, 256));
  const gone = int(random, 3);
  return `${bytes.slice(0, at)}${random() < 0.7 ? other : ''}${bytes.slice(at + gone)}`;
}

function randomPieces(random: Random, bytes: string): string[] {
  const pieces: string[] = [];
  const most = pick(random, [1, 3, 20, 200]);
  for (let at = 0; at < bytes.length;) {
    const length = 1 + int(random, most);
    pieces.push(bytes.slice(at, at + length));
    at += length;
  }
  return pieces;
}

/** What node takes and we do not, on purpose: see docs/http.md. */
const stricter =
  /^(?:the app (?:answered with Transfer-Encoding|switched)|not valid HTTP: (?:Invalid HTTP version|Invalid status code|Invalid character in Content-Length|Chunk size overflow|Expected HTTP\/|Missing expected LF after response line|Content-Length with Transfer-Encoding|Invalid character in chunk extensions))/;

/** What we take and node does not: `close` in an interim answer, and what frames a body there. */
const afterClose = 'Data after `Connection: close`';
const framedInterim = /^HTTP\/\d\.\d 1\d\d [^\r\n]*\r\n(?:[^\r\n]+\r\n)*(?:Content-Length|Transfer-Encoding):/im;

/** What only node takes: any end of an empty line before an answer. */
const oddStart = /^(?:\r\n)*(?:\n|\r(?!\n))/;

/** What matters to those who read it. Node leaves out tabs behind a value. */
function meaningOf({ heads, body, trailers }: ReadAnswer): string {
  return JSON.stringify([
    heads.map(({ statusCode, headers }) => [statusCode, headers.map((text) => text.trimEnd())]),
    body,
    trailers?.map((text) => text.trimEnd()),
  ]);
}

t.test('whatever bytes an app sends are read alike in any pieces, and never otherwise than by node', async (t) => {
  t.comment(`seed ${seed}, ${seconds} s`);
  const random = seeded(seed);
  const endAt = performance.now() + seconds * 1_000;
  let [read, whole] = [0, 0];
  while (performance.now() < endAt) {
    for (let round = 0; round < 1_000; round += 1) {
      const bytes = randomBytes(random);
      const isToHead = random() < 0.1;
      const ours = readAnswer([bytes], isToHead);
      const inPieces = readAnswer(randomPieces(random, bytes), isToHead);
      const nodes = readAnswerAsNode(bytes, isToHead);
      const what = JSON.stringify({ bytes, isToHead });
      if (JSON.stringify(ours) !== JSON.stringify(inPieces)) return t.same(inPieces, ours, `in pieces: ${what}`);
      if (ours.fault === undefined) {
        whole += 1;
        if (nodes.fault === afterClose || (nodes.fault !== undefined && framedInterim.test(bytes))) continue;
        if (meaningOf(ours) !== meaningOf(nodes)) return t.same(nodes, ours, `node reads it otherwise: ${what}`);
        // Node's parser does not know of HEAD when it says so.
        if (!ours.isLast && nodes.isLast && !isToHead) return t.fail(`node would not keep the connection: ${what}`);
      } else if (nodes.fault === undefined && !stricter.test(ours.fault) && !oddStart.test(bytes)) {
        return t.same(ours, nodes, `only node reads it: ${what}`);
      }
      read += 1;
    }
    await new Promise((resolve) => setImmediate(resolve));
  }
  t.comment(`${read} answers, of which ${whole} were whole`);
  t.ok(whole > read / 5);
});
