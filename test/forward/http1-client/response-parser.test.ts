import fc from 'fast-check';
import t from 'tap';
import { longestHead, ResponseParser } from '../../../src/forward/http1-client/response-parser.js';
import { type ReadAnswer, readAnswer } from '../../fixtures/read-answer.js';

const chunked = 'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n';
const counted = (bytes: number | string) => `HTTP/1.1 200 OK\r\nContent-Length: ${bytes}\r\n\r\n`;
const withLine = (line: string) => `HTTP/1.1 200 OK\r\n${line}\r\nContent-Length: 2\r\n\r\nok`;
const hex = (bytes: number) => bytes.toString(16);

const whole: [name: string, bytes: string, seen: Partial<ReadAnswer>, isToHead?: boolean][] = [
  ['a body with a length', `${counted(2)}ok`, { body: 'ok', isLast: false }],
  ['a body of no bytes', counted(0), { body: '', isLast: false }],
  ['a length with zeros before it', `${counted('002')}ok`, { body: 'ok' }],
  ['chunks', `${chunked}2\r\nok\r\n4;a=b;c="d\\"; e";f\r\n, so\r\n0\r\n\r\n`, { body: 'ok, so', isLast: false }],
  [
    'a chunk size in either case, with zeros',
    `${chunked}00a\r\n0123456789\r\nA\r\n0123456789\r\n000\r\n\r\n`,
    { body: '0123456789'.repeat(2) },
  ],
  ['trailers', `${chunked}0\r\nX: y \r\nZ:\r\n\r\n`, { body: '', trailers: ['X', 'y', 'Z', ''] }],
  ['a body that the connection ends', 'HTTP/1.1 200 OK\r\n\r\nall there is', { body: 'all there is', isLast: true }],
  ['no body for HEAD, whatever it says', counted(7), { body: '', stray: 0, isLast: false }, true],
  ['no body for HEAD in chunks', chunked, { body: '', stray: 0 }, true],
  ['no body for HEAD without a length', 'HTTP/1.1 200 OK\r\n\r\n', { body: '', isLast: false }, true],
  ['204', 'HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n', { body: '', isLast: false }],
  ['304', 'HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n', { body: '' }],
  ['what is behind a length as stray', `${counted(2)}ok, and more`, { body: 'ok', stray: 10 }],
  ['what is behind the last chunk as stray', `${chunked}0\r\n\r\n\r\n`, { body: '', stray: 2 }],
  ['what is behind a 304 as stray', 'HTTP/1.1 304 Not Modified\r\n\r\nmore', { body: '', stray: 4 }],
  ['an empty line before it', `\r\n\r\n${counted(2)}ok`, { body: 'ok' }],
  ['Connection: close', `HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n`, { isLast: true }],
  [
    'Connection: close beside keep-alive',
    `HTTP/1.1 200 OK\r\nConnection: keep-alive\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`,
    { isLast: true },
  ],
  ['Connection: closed', withLine('Connection: closed'), { isLast: false }],
  ['HTTP/1.0', 'HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok', { body: 'ok', isLast: true }],
  [
    'HTTP/1.0 that keeps its connection',
    'HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 2\r\n\r\nok',
    { body: 'ok', isLast: false },
  ],
  [
    'HTTP/1.0 in chunks',
    'HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n',
    { body: 'ok', isLast: true },
  ],
  ['what calls itself HTTP/2.0', 'HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok', { body: 'ok', isLast: true }],
];

for (const [name, bytes, seen, isToHead] of whole) {
  t.test(`it reads ${name}`, async (t) => t.match(readAnswer([bytes], isToHead), { fault: undefined, ...seen }));
}

t.test('it hands over names, values and the reason as they were sent, without the space around values', async (t) => {
  const { heads } = readAnswer([
    'HTTP/1.1 200 All \xe9 is  fine\r\nX-ODD: \t a  b \r\nx-odd:\xff\xfe\r\n__proto__: \r\nA:b\r\nContent-Length: 0\r\n\r\n',
  ]);
  t.same(heads, [
    {
      statusCode: 200,
      reason: 'All \xe9 is  fine',
      headers: ['X-ODD', 'a  b', 'x-odd', '\xff\xfe', '__proto__', '', 'A', 'b', 'Content-Length', '0'],
    },
  ]);
  for (const line of ['HTTP/1.1 200', 'HTTP/1.1 200 ']) t.equal(readAnswer([`${line}\r\n\r\n`]).heads[0]?.reason, '');
});

t.test('it hands over interim answers, of which no header frames anything', async (t) => {
  const interim = [
    'HTTP/1.1 103 Hints\r\nLink: </a>\r\nTransfer-Encoding: x',
    'HTTP/1.1 102 P\r\nContent-Length: 99',
    'HTTP/1.1 102 P\r\nContent-Length: 1\r\nContent-Length: x',
    'HTTP/1.1 102 P\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked',
    'HTTP/1.0 100 Go',
  ];
  const { heads, body, fault } = readAnswer([`${interim.join('\r\n\r\n')}\r\n\r\n${counted(2)}ok`]);
  t.same(
    heads.map(({ statusCode }) => statusCode),
    [103, 102, 102, 102, 100, 200],
  );
  t.same([body, fault], ['ok', undefined]);
});

t.test('it tells for how long the app keeps the connection', async (t) => {
  t.match(readAnswer([withLine('Keep-Alive: timeout=7, max=100')]), { isLast: false, fault: undefined });
});

const refused: [name: string, bytes: string, fault: RegExp | string][] = [
  ...(['garbage', 'http/1.1 200 OK', ' HTTP/1.1 200 OK', '<html>', '\0', '\n'] as const).map(
    (line): [string, string, string] => [
      `${JSON.stringify(line)} instead of a status line`,
      line,
      'not valid HTTP: Expected HTTP/',
    ],
  ),
  ...[
    'HTTP/0.9 200 OK',
    'HTTP/1.2 200 OK',
    'HTTP/3.0 200 OK',
    'HTTP/1.10 200',
    'HTTP/11 200 OK',
    'HTTP/',
    'HTTP/1.1',
    'HTTP/1.1\t200 OK',
  ].map((line): [string, string, string] => [line, `${line}\r\n\r\n`, 'not valid HTTP: Invalid HTTP version']),
  ...[
    'HTTP/1.1 20 OK',
    'HTTP/1.1 2000 OK',
    'HTTP/1.1 000 OK',
    'HTTP/1.1 099 OK',
    'HTTP/1.1  200 OK',
    'HTTP/1.1 -20 OK',
    'HTTP/1.1 2e2 OK',
    'HTTP/1.1 200OK',
    'HTTP/1.1 200\tOK',
    'HTTP/1.1 ',
    'HTTP/1.1 ٢٠٠',
  ].map((line): [string, string, string] => [line, `${line}\r\n\r\n`, 'not valid HTTP: Invalid status code']),
  [
    'a status line that ends with a bare LF',
    'HTTP/1.1 200 OK\nX: y\n\n',
    'not valid HTTP: Missing expected CR after response line',
  ],
  [
    'a bare CR in the status line',
    'HTTP/1.1 200 O\rK\r\n\r\n',
    'not valid HTTP: Missing expected LF after response line',
  ],
  ...[' folded', '\tfolded', ': a', 'X : a', 'X', '(: a', '\xff: a', 'X\0: a', 'X\t: a', '"X": a', '\n'].map(
    (line): [string, string, string] => [
      `the line ${JSON.stringify(line)}`,
      withLine(line),
      'not valid HTTP: Invalid header token',
    ],
  ),
  ...['a\0b', 'a\x01b', '\x7f', 'a\x0bb', '\0'].map((value): [string, string, string] => [
    `the value ${JSON.stringify(value)}`,
    withLine(`X: ${value}`),
    'not valid HTTP: Invalid header value char',
  ]),
  [
    'a header line that ends with a bare LF',
    withLine('X: a\nY: b'),
    'not valid HTTP: Missing expected CR after header value',
  ],
  ['a bare CR in a value', withLine('X: a\rb'), 'not valid HTTP: Missing expected LF after header value'],
  ['a bare CR at the end of the head', 'HTTP/1.1 200 OK\r\n\rX', 'not valid HTTP: Missing expected LF after headers'],
  ...['-1', '+2', '0x2', '2, 2', '2 2', '', '2;', '9'.repeat(16), '1e3', '²', '2\t'].map(
    (value): [string, string, string] => [
      `the length ${JSON.stringify(value)}`,
      counted(value),
      'not valid HTTP: Invalid character in Content-Length',
    ],
  ),
  ['two lengths', withLine('content-length: 2'), 'not valid HTTP: Content-Length twice'],
  [
    'a length and chunks',
    withLine('Transfer-Encoding: chunked'),
    'not valid HTTP: Content-Length with Transfer-Encoding',
  ],
  ...[
    'gzip',
    'gzip, chunked',
    'chunked, chunked',
    'chunked;q=1',
    'chunked,',
    '',
    'identity',
    'xchunked',
    'chunked\xa0',
    'chunked\t',
    'chunked\t ',
  ].map((value): [string, string, RegExp] => [
    `the coding ${JSON.stringify(value)}`,
    `HTTP/1.1 200 OK\r\nTransfer-Encoding: ${value}\r\n\r\n`,
    /^the app answered with Transfer-Encoding "/,
  ]),
  [
    'chunked twice',
    'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n',
    /^the app answered with Transfer-Encoding "chunked"/,
  ],
  [
    'another protocol',
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n',
    'the app switched to another protocol unasked',
  ],
  ...['zz', ' 2', '2 ', '-2', '+2', '0x2', '\r\n', ';x', '2\n', '2,', '\t2'].map((size): [string, string, string] => [
    `the chunk size ${JSON.stringify(size)}`,
    `${chunked}${size}\r\nok\r\n0\r\n\r\n`,
    'not valid HTTP: Invalid character in chunk size',
  ]),
  ['a chunk size beyond all numbers', `${chunked}${'f'.repeat(16)}\r\n`, 'not valid HTTP: Chunk size overflow'],
  ['a bare CR behind a chunk size', `${chunked}2\rok\r\n`, 'not valid HTTP: Missing expected LF after chunk size'],
  ['a bare LF in an extension', `${chunked}2;x\nok\r\n`, 'not valid HTTP: Invalid character in chunk extensions'],
  ['a NUL in an extension', `${chunked}2;\0\r\nok\r\n`, 'not valid HTTP: Invalid character in chunk extensions'],
  ...['', ';', 'a;', '=b', 'a=', 'a b', ' a', 'a="b', 'a="b"c', 'a="\\"', 'a=b c', '\xff'].map(
    (extension): [string, string, string] => [
      `the chunk extension ${JSON.stringify(extension)}`,
      `${chunked}2;${extension}\r\nok\r\n0\r\n\r\n`,
      'not valid HTTP: Invalid character in chunk extensions',
    ],
  ),
  ['a size of too many digits', `${chunked}${'0'.repeat(16_385)}`, 'not valid HTTP: Chunk extensions too large'],
  ['an extension without end', `${chunked}1;${'x'.repeat(16_384)}`, 'not valid HTTP: Chunk extensions too large'],
  [
    'a chunk longer than its size',
    `${chunked}2\r\nokay\r\n0\r\n\r\n`,
    'not valid HTTP: Missing expected CR after chunk',
  ],
  ['a bare LF behind a chunk', `${chunked}2\r\nok\n0\r\n\r\n`, 'not valid HTTP: Missing expected CR after chunk'],
  ['a bare CR behind a chunk', `${chunked}2\r\nok\r0\r\n\r\n`, 'not valid HTTP: Missing expected LF after chunk'],
  ['a length in a trailer', `${chunked}0\r\nContent-length: 2\r\n\r\n`, 'not valid HTTP: Content-Length in a trailer'],
  [
    'a trailer that goes on in the next line',
    `${chunked}0\r\nX: a\r\n b\r\n\r\n`,
    'not valid HTTP: Invalid header token',
  ],
  [
    'a head beyond the bound',
    `HTTP/1.1 200 OK\r\nX: ${'y'.repeat(longestHead)}`,
    'the header of the answer is too large',
  ],
  ['empty lines without end', '\r\n'.repeat(longestHead), 'the header of the answer is too large'],
  [
    'a trailer beyond the bound',
    `${chunked}0\r\nX: ${'y'.repeat(longestHead)}`,
    'the trailer of the answer is too large',
  ],
  ...[
    '',
    'HTTP/1.1 200 OK',
    'HTTP/1.1 100 Continue\r\n\r\n',
    counted(2),
    `${counted(2)}o`,
    chunked,
    `${chunked}2\r\nok\r\n`,
    `${chunked}0\r\n`,
    `${chunked}0\r\nX: y\r\n`,
    '\r\n',
  ].map((bytes): [string, string, string] => [`an end behind ${JSON.stringify(bytes)}`, bytes, 'cut']),
];

for (const [name, bytes, fault] of refused) {
  t.test(`it refuses ${name}`, async (t) => {
    const seen = readAnswer([bytes]);
    t.match(seen, { fault });
    t.equal(seen.trailers, undefined, 'and tells no end');
  });
}

t.test('a head of exactly the bound is read', async (t) => {
  const frame = 'HTTP/1.1 200 OK\r\nX: \r\nContent-Length: 0\r\n\r\n';
  const bytes = frame.replace('X: ', `X: ${'y'.repeat(longestHead - frame.length)}`);
  t.match(readAnswer([bytes]), { fault: undefined, trailers: [] });
  t.match(readAnswer([bytes.replace('X: y', 'X: yy')]), { fault: 'the header of the answer is too large' });
  t.match(readAnswer(bytes.split('')), { fault: undefined, trailers: [] }, 'byte by byte');
});

t.test('the result does not depend on where the bytes are cut', async (t) => {
  const all = [...whole.map(([, bytes]) => bytes), ...refused.map(([, bytes]) => bytes)].filter(
    ({ length }) => length < 1_000,
  );
  for (const bytes of all) {
    const expected = readAnswer([bytes]);
    t.same(readAnswer(bytes.split('')), expected, `byte by byte: ${JSON.stringify(bytes)}`);
    for (let at = 1; at < bytes.length; at += 1) {
      const seen = readAnswer([bytes.slice(0, at), bytes.slice(at)]);
      if (JSON.stringify(seen) !== JSON.stringify(expected))
        t.same(seen, expected, `cut at ${at}: ${JSON.stringify(bytes)}`);
    }
  }
});

/** Whatever is sent, as chunks of any length or with its length. */
const sent = fc.record({
  interim: fc.array(
    fc.constantFrom('HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n', 'HTTP/1.1 100 Continue\r\n\r\n'),
    { maxLength: 3 },
  ),
  parts: fc.array(
    fc.string({
      unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)),
      minLength: 1,
      maxLength: 300,
    }),
    { maxLength: 8 },
  ),
  isChunked: fc.boolean(),
  trailers: fc.array(fc.constantFrom('X: y', 'Z:', 'Sum: 1, 2'), { maxLength: 2 }),
  cuts: fc.array(fc.nat(3_000), { maxLength: 30 }),
});

t.test('an answer arrives as it was sent, in whatever pieces', async () => {
  fc.assert(
    fc.property(sent, ({ interim, parts, isChunked, trailers, cuts }) => {
      const body = parts.join('');
      const chunks = parts.map((part) => `${hex(part.length)}\r\n${part}\r\n`).join('');
      const end = `0\r\n${trailers.map((line) => `${line}\r\n`).join('')}\r\n`;
      const bytes = interim.join('') + (isChunked ? `${chunked}${chunks}${end}` : `${counted(body.length)}${body}`);
      const ends = [...new Set(cuts.map((cut) => cut % (bytes.length + 1))), bytes.length].sort((a, b) => a - b);
      const pieces = ends.map((to, index) => bytes.slice(ends[index - 1] ?? 0, to));
      const seen = readAnswer(pieces);
      return (
        seen.fault === undefined &&
        seen.body === body &&
        seen.heads.length === interim.length + 1 &&
        seen.trailers?.length === (isChunked ? 2 * trailers.length : 0)
      );
    }),
    { numRuns: 2_000 },
  );
});

t.test('chunks that come at once are handed over as one part', async (t) => {
  const parts: string[] = [];
  const parser = new ResponseParser({
    onHead() {},
    onBody: (bytes, from, to) => void parts.push(bytes.toString('latin1', from, to)),
    onEnd() {},
  });
  parser.begin(false);
  const bytes = Buffer.from(`${chunked}${'1\r\nx\r\n'.repeat(1_000)}0\r\n\r\n`);
  t.equal(parser.read(bytes, bytes.length), bytes.length);
  t.same(parts, ['x'.repeat(1_000)]);
});

t.test('what was stopped hands over nothing more, and the next answer is read afresh', async (t) => {
  const events: string[] = [];
  const parser: ResponseParser = new ResponseParser({
    onHead: (statusCode) => void events.push(`head ${statusCode}`),
    onBody() {
      events.push('body');
      if (events.length === 2) parser.stop();
    },
    onEnd: () => void events.push('end'),
  });
  for (const bytes of [`${counted(2)}ok`, `${chunked}2\r\nok\r\n0\r\n\r\n`, 'HTTP/1.1 200 OK\r\nX: hal']) {
    events.length = 0;
    parser.begin(false);
    parser.read(Buffer.from(bytes), bytes.length);
    t.same(events.slice(0, 3), bytes.includes('ok') ? ['head 200', 'body'] : []);
    parser.stop();
    t.ok(parser.isIdle);
  }
  events.length = 0;
  parser.begin(false);
  parser.read(Buffer.from(counted(0)), counted(0).length);
  t.same(events, ['head 200', 'end']);
});
