import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { eventually } from '../fixtures/eventually.js';
import {
  endHeaders,
  endStream,
  errorCode,
  type Field,
  fieldBlock,
  frame,
  FrameClient,
  frameOf,
  get,
  setting,
  words,
} from '../fixtures/http2-frames.js';
import { startRelay } from '../fixtures/relay.js';

/** An app that believes whatever looks like a request, and notes each as its lines. */
async function startLenient(t: Test): Promise<{ port: number; requests: string[][] }> {
  const requests: string[][] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString('latin1');
      for (let end = text.indexOf('\r\n\r\n'); end >= 0; end = text.indexOf('\r\n\r\n')) {
        const lines = text.slice(0, end).split(/\r\n|[\r\n]/);
        text = text.slice(end + 4);
        // What it does not take for the beginning of a request is a body.
        if (!/^\S+ \S+ HTTP\/1\.1$/.test(lines[0] ?? '')) continue;
        requests.push(lines);
        socket.write('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok');
      }
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return { port: (server.address() as { port: number }).port, requests };
}

const app = await startLenient(t);
const relay = await startRelay(t, { upstreamPort: app.port, http2: true });

/** The lines of the only request that the app got, without those that say where it came from. */
function onlyRequest(): string[] {
  const [only = [], ...more] = app.requests.splice(0);
  return more.length > 0 ? ['more than one request'] : only.filter((line) => !/^(x-forwarded-|forwarded)/i.test(line));
}

const lines = (target: string, ...more: string[]) => [
  `GET ${target} HTTP/1.1`,
  'Host: shop.localhost',
  ...more,
  'Connection: keep-alive',
];
const without = (name: string): Field[] => get().filter(([each]) => each !== name);

type Outcome = { readonly lines: string[] } | { readonly status: number } | { readonly reset: number };
const malformed: Outcome = { reset: errorCode.protocol };

const requests: [name: string, fields: Field[], outcome: Outcome][] = [
  ['a plain request', get('/a?b=c'), { lines: lines('/a?b=c') }],
  [
    'a cookie in crumbs',
    get('/', [
      ['cookie', 'a=1'],
      ['x', 'y'],
      ['cookie', 'b=2'],
    ]),
    { lines: lines('/', 'cookie: a=1; b=2', 'x: y') },
  ],
  [
    'repeated fields',
    get('/', [
      ['x', '1'],
      ['x', '2'],
    ]),
    { lines: lines('/', 'x: 1', 'x: 2') },
  ],
  ['a byte beyond ASCII', get('/', [['x', '\xe9']]), { lines: lines('/', 'x: \xe9') }],
  ['te: trailers', get('/', [['te', 'trailers']]), { lines: lines('/') }],
  ['Host beside the same authority', get('/', [['host', 'SHOP.localhost']]), { lines: lines('/') }],
  ['Host instead of an authority', [...without(':authority'), ['host', 'shop.localhost']], { lines: lines('/') }],
  ['the scheme http', get('/', [[':scheme', 'http']]), { lines: lines('/') }],
  [
    'headers that only a trusted proxy may send',
    get('/', [
      ['x-forwarded-for', '1.1.1.1'],
      ['x_forwarded.proto', 'x'],
    ]),
    { lines: lines('/') },
  ],
  ['a header of ours', get('/', [['x-fastcontainer-busy', '1h']]), { lines: lines('/') }],
  // What HTTP/1.1 would read in another way.
  ['another Host than the authority', get('/', [['host', 'other.localhost']]), { status: 400 }],
  ['two Hosts', [...without(':authority'), ['host', 'a.localhost'], ['host', 'b.localhost']], malformed],
  ['neither Host nor authority', without(':authority'), malformed],
  ['an authority with a user', get('/', [[':authority', 'user@shop.localhost']]), { status: 400 }],
  ['an authority with a path', get('/', [[':authority', 'shop.localhost/a']]), malformed],
  ['an empty authority', get('/', [[':authority', '']]), malformed],
  ['an authority with a line break', get('/', [[':authority', 'shop.localhost\r\nx: y']]), malformed],
  ['a path with a line break', get('/ HTTP/1.1\r\nHost: x\r\n\r\nGET /evil'), malformed],
  ['a path with a space', get('/a HTTP/1.1'), malformed],
  ['a path with a zero byte', get('/a\0'), malformed],
  ['an empty path', get(''), malformed],
  ['a path without a slash', get('a'), malformed],
  ['an absolute path', get('https://other.localhost/'), malformed],
  ['a star for GET', get('*'), malformed],
  ['an absolute path of another scheme', get('http://other.localhost/', [[':scheme', 'ftp']]), { status: 400 }],
  ['another scheme', get('/', [[':scheme', 'ftp']]), { status: 400 }],
  ['a scheme with a line break', get('/', [[':scheme', 'https\r\nx: y']]), malformed],
  ['a method with a space', get('/', [[':method', 'GET /evil HTTP/1.1\r\nx:']]), malformed],
  ['an unknown method', get('/', [[':method', 'get']]), { status: 501 }],
  [
    'CONNECT',
    [
      [':method', 'CONNECT'],
      [':authority', 'other.localhost:443'],
    ],
    { status: 400 },
  ],
  ['transfer-encoding', get('/', [['transfer-encoding', 'chunked']]), malformed],
  ['connection', get('/', [['connection', 'close']]), malformed],
  ['keep-alive', get('/', [['keep-alive', 'timeout=5']]), malformed],
  ['proxy-connection', get('/', [['proxy-connection', 'close']]), malformed],
  ['upgrade', get('/', [['upgrade', 'h2c']]), malformed],
  ['te: gzip', get('/', [['te', 'gzip']]), malformed],
  ['a name in upper case', get('/', [['X-Upper', '1']]), malformed],
  [
    'two lengths',
    get('/', [
      ['content-length', '0'],
      ['content-length', '0'],
    ]),
    malformed,
  ],
  ['a length that is no number', get('/', [['content-length', '+0']]), malformed],
  ['a length and no body', get('/', [['content-length', '5']]), malformed],
  ['a pseudo-header twice', [...get(), [':path', '/b']], malformed],
  ['a pseudo-header behind a field', [['x', 'y'], ...get()], malformed],
  ['an unknown pseudo-header', get('/', [[':version', '1']]), malformed],
  ['a pseudo-header of answers', get('/', [[':status', '200']]), malformed],
  ['no method', without(':method'), malformed],
  ['no scheme', without(':scheme'), malformed],
  ['no path', without(':path'), malformed],
  [
    'more lines than are taken',
    get(
      '/',
      Array.from({ length: 501 }, (_, index): Field => [`x${index}`, '']),
    ),
    { status: 431 },
  ],
  // Node drops such fields before they are seen: nothing of them reaches an app.
  ['a value with a line break', get('/', [['x', 'a\r\ntransfer-encoding: chunked']]), { lines: lines('/') }],
  ['a value with a zero byte', get('/', [['x', 'a\0b']]), { lines: lines('/') }],
  ['a name with a colon', get('/', [['x: y', 'z']]), { lines: lines('/') }],
  ['a name with a line break', get('/', [['x\r\ny', 'z']]), { lines: lines('/') }],
  ['an empty name', get('/', [['', 'z']]), { lines: lines('/') }],
];

t.test('a lenient app sees just the requests that clients of HTTP/2 sent, and no malformed one', async (t) => {
  const client = await FrameClient.begin(relay.port);
  let stream = -1;
  for (const [name, fields, outcome] of requests) {
    stream += 2;
    client.ask(stream, fields);
    if ('reset' in outcome) {
      t.same(await client.failure(stream), outcome, name);
      t.same(onlyRequest(), [], `${name}: the app got nothing`);
    } else {
      const { status } = await client.answer(stream);
      t.equal(status, 'status' in outcome ? outcome.status : 200, name);
      t.same(onlyRequest(), 'lines' in outcome ? outcome.lines : [], name);
    }
  }
  t.notOk(client.isClosed, 'the connection serves on');
  client.socket.destroy();
});

const post = (length: number | undefined): Field[] =>
  get('/', [[':method', 'POST'], ...(length === undefined ? [] : [['content-length', String(length)] as Field])]);

t.test('a body has the length that was announced, whatever it looks like', async (t) => {
  const client = await FrameClient.begin(relay.port);
  const evil = Buffer.from('0\r\n\r\nGET /evil HTTP/1.1\r\nHost: x\r\n\r\n');
  client.ask(1, post(evil.length), endHeaders);
  client.send(frame.data, endStream, 1, evil);
  t.equal((await client.answer(1)).status, 200);
  client.ask(3, post(undefined), endHeaders);
  client.send(frame.data, endStream, 3, Buffer.from('hello'));
  t.equal((await client.answer(3)).status, 200);
  for (const [stream, length] of [
    [5, evil.length - 1],
    [7, evil.length + 1],
  ] as const) {
    client.socket.cork();
    client.ask(stream, post(length), endHeaders);
    client.send(frame.data, endStream, stream, evil);
    client.socket.uncork();
    t.same(await client.failure(stream), { reset: errorCode.protocol });
  }
  client.ask(9);
  t.equal((await client.answer(9)).status, 200);
  client.socket.destroy();
  app.requests.length = 0;
});

const [frameSize, compression] = [6, 9];
const connectionErrors: [name: string, send: (client: FrameClient) => void, codes: number[]][] = [
  ['data without a stream', (c) => c.send(frame.data, 0, 0, Buffer.from('x')), [errorCode.protocol]],
  ['data of a stream that is not open', (c) => c.send(frame.data, 0, 1, Buffer.from('x')), [errorCode.protocol]],
  ['headers without a stream', (c) => c.ask(0), [errorCode.protocol]],
  ['headers on a stream of the server', (c) => c.ask(2), [errorCode.protocol]],
  ['a reset without a stream', (c) => c.send(frame.reset, 0, 0, words(8)), [errorCode.protocol]],
  ['a reset of a stream that is not open', (c) => c.send(frame.reset, 0, 1, words(8)), [errorCode.protocol]],
  [
    'a reset that is too short',
    (c) => (c.ask(1, get(), endHeaders), c.send(frame.reset, 0, 1, Buffer.alloc(3))),
    [frameSize],
  ],
  ['settings of a stream', (c) => c.send(frame.settings, 0, 1), [errorCode.protocol]],
  ['settings cut short', (c) => c.send(frame.settings, 0, 0, Buffer.alloc(5)), [frameSize]],
  ['an acknowledgement with settings', (c) => c.send(frame.settings, 1, 0, setting(3, 1)), [frameSize]],
  ['a push setting that is no boolean', (c) => c.send(frame.settings, 0, 0, setting(2, 2)), [errorCode.protocol]],
  ['a window that is too large', (c) => c.send(frame.settings, 0, 0, setting(4, 2 ** 31)), [errorCode.flowControl]],
  ['a frame size that is too small', (c) => c.send(frame.settings, 0, 0, setting(5, 100)), [errorCode.protocol]],
  ['a ping of a stream', (c) => c.send(frame.ping, 0, 1, Buffer.alloc(8)), [errorCode.protocol]],
  ['a ping that is too short', (c) => c.send(frame.ping, 0, 0, Buffer.alloc(7)), [frameSize]],
  ['a window update of nothing', (c) => c.send(frame.windowUpdate, 0, 0, words(0)), [errorCode.protocol]],
  ['a window beyond its limit', (c) => c.send(frame.windowUpdate, 0, 0, words(2 ** 31 - 1)), [errorCode.flowControl]],
  [
    'a continuation of nothing',
    (c) => c.send(frame.continuation, endHeaders, 1, fieldBlock(get())),
    [errorCode.protocol],
  ],
  [
    'a frame between headers',
    (c) => (c.ask(1, get(), endStream), c.send(frame.ping, 0, 0, Buffer.alloc(8))),
    [errorCode.protocol],
  ],
  [
    'a push from a client',
    (c) => c.send(5, endHeaders, 1, Buffer.concat([words(2), fieldBlock(get())])),
    [errorCode.protocol],
  ],
  [
    'padding without room',
    (c) => c.send(frame.headers, endStream | endHeaders | 8, 1, Buffer.from([200, 0])),
    [errorCode.protocol],
  ],
  [
    'a field that was never indexed',
    (c) => c.send(frame.headers, endStream | endHeaders, 1, Buffer.from([0xff, 0x20])),
    [compression],
  ],
  [
    'a frame larger than is taken',
    (c) => c.send(frame.headers, endStream | endHeaders, 1, Buffer.alloc(16_385)),
    [frameSize],
  ],
  ['a goodbye of a stream', (c) => c.send(frame.goaway, 0, 1, words(0, 0)), [errorCode.protocol]],
];

t.test('what breaks the rules of a connection is told so, with the code for that', async (t) => {
  for (const [name, send, codes] of connectionErrors) {
    const client = await FrameClient.begin(relay.port);
    send(client);
    await eventually(() => client.isClosed || client.of(frame.goaway).length > 0);
    const code = client.of(frame.goaway)[0]?.payload.readUInt32BE(4) ?? -1;
    t.ok(codes.includes(code), `${name}: ${code}`);
    client.socket.destroy();
  }
  app.requests.length = 0;
});

t.test('a connection that does not begin as HTTP/2 is closed', async (t) => {
  const client = await FrameClient.connect(relay.port);
  client.socket.write('GET / HTTP/1.1\r\nHost: shop.localhost\r\n\r\n');
  await eventually(() => client.isClosed);
  t.same(onlyRequest(), []);
});

const streamErrors: [name: string, send: (client: FrameClient) => void, code: number][] = [
  ['a window update of nothing', (c) => c.send(frame.windowUpdate, 0, 1, words(0)), errorCode.protocol],
  ['a window beyond its limit', (c) => c.send(frame.windowUpdate, 0, 1, words(2 ** 31 - 1)), errorCode.flowControl],
  ['trailers that do not end the request', (c) => c.ask(1, [['x', 'y']], endHeaders), errorCode.protocol],
  ['trailers with a pseudo-header', (c) => c.ask(1, [[':path', '/']]), errorCode.protocol],
];

t.test('what breaks the rules of a stream ends that, or its connection', async (t) => {
  for (const [name, send, code] of streamErrors) {
    const client = await FrameClient.begin(relay.port);
    client.ask(1, post(undefined), endHeaders);
    send(client);
    const failure = await client.failure(1);
    t.equal(failure.reset ?? failure.goaway, code, name);
    client.socket.destroy();
  }
  await eventually(() => relay.seats.open.size === 0);
  app.requests.length = 0;
});

t.test('unknown frames and settings are ignored', async (t) => {
  const client = await FrameClient.begin(relay.port, setting(0x99, 1));
  client.socket.write(frameOf(0xbe, 0xff, 0, Buffer.from('anything')));
  client.send(frame.priority, 0, 9, Buffer.alloc(5));
  client.ask(1);
  t.equal((await client.answer(1)).status, 200);
  client.socket.destroy();
});
