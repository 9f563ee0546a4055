import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { install, startDaemon } from '../fixtures/daemon.js';
import { eventually } from '../fixtures/eventually.js';
import { ok, type RawUpstream, rawUpstream } from '../fixtures/raw.js';
import { type Relay, startRelay } from '../fixtures/relay.js';
import { metric } from '../fixtures/vital-signs.js';

const get = (path: string, headers = '') => `GET ${path} HTTP/1.1\r\nHost: a\r\n${headers}\r\n`;
const upgrade = 'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n';
const stream = 'HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n';
const switched = 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n';
const large = Buffer.alloc(8 * 1024 * 1024, 'x');
const upload = `POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: ${large.length}\r\n\r\n`;

interface State {
  readonly sends: readonly (string | Buffer)[];
  /** What the app does with the first bytes; it reads nothing more after it. */
  readonly app: (socket: Socket) => void;
  /** Has been reached. */
  readonly reached: (relay: Relay, upstream: RawUpstream, client: Socket, answer: () => string) => boolean;
  readonly stopsReading?: true;
  /** More stands before the client's end than the system takes. */
  readonly isStuck?: true;
}

const isSeated = ({ seats }: Relay, { sockets }: RawUpstream) => seats.open.size > 0 && sockets.size > 0;
const silent = (socket: Socket) => void socket.pause();
const answersAndIsDeaf = (bytes: string | Buffer) => (socket: Socket) => {
  socket.pause();
  socket.write(bytes);
};
const isAnswered = (_relay: Relay, _upstream: RawUpstream, _client: Socket, answer: () => string) =>
  answer().length > 0;

/** The rows of the table of states in docs/architecture.md in which an exchange has a seat. */
const states: Record<string, State> = {
  'the app is silent': { sends: [get('/')], app: silent, reached: isSeated },
  'the app does not read the body': { sends: [upload, large], app: silent, reached: isSeated, isStuck: true },
  'the app has answered and does not read the body': {
    sends: [upload, large],
    app: answersAndIsDeaf(stream),
    reached: isAnswered,
    isStuck: true,
  },
  'the app has answered and does not read a small body': {
    sends: [upload, large.subarray(0, 50_000)],
    app: answersAndIsDeaf(stream),
    reached: isAnswered,
  },
  'the answer is under way and quiet': { sends: [get('/')], app: answersAndIsDeaf(stream), reached: isAnswered },
  'the client does not read the answer': {
    sends: [get('/')],
    app: (socket) => void socket.write(Buffer.concat([Buffer.from(stream), large])),
    reached: isSeated,
    stopsReading: true,
  },
  'two thousand requests wait behind an answer that is held open': {
    sends: [get('/').repeat(2_000)],
    app: answersAndIsDeaf(stream),
    reached: isAnswered,
  },
  'an upgrade is not answered': { sends: [get('/', upgrade)], app: silent, reached: isSeated },
  'an upgrade with early bytes is not answered': { sends: [get('/', upgrade), 'x'], app: silent, reached: isSeated },
  'an upgrade was answered without a switch': {
    sends: [get('/', upgrade)],
    app: answersAndIsDeaf(stream),
    reached: isAnswered,
  },
  'an upgrade with an early byte was answered without a switch': {
    sends: [`${get('/', upgrade)}x`],
    app: answersAndIsDeaf(stream),
    reached: isAnswered,
  },
  'an upgrade with many early bytes was answered without a switch': {
    sends: [get('/', upgrade), large],
    app: answersAndIsDeaf(stream),
    reached: isAnswered,
  },
  'a request stands behind an offer of HTTP/2': {
    sends: [get('/', 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n') + get('/')],
    app: answersAndIsDeaf(stream),
    reached: isAnswered,
  },
  'protocols were switched': { sends: [get('/', upgrade)], app: answersAndIsDeaf(switched), reached: isAnswered },
};

const leaves: Record<string, (client: Socket) => void> = {
  ends: (client) => void client.destroy(),
  resets: (client) => void client.resetAndDestroy(),
};

for (const [name, state] of Object.entries(states)) {
  for (const [how, leave] of Object.entries(leaves)) {
    t.test(`a client that ${how} its connection while ${name} gives its seat back`, async (t) => {
      await leavesNothing(t, state, leave);
    });
  }
}

t.test(
  'a client whose end is stuck behind what the system does not take holds its seat no longer than the app may take',
  async (t) => {
    const upstream = await rawUpstream(t, silent);
    const relay = await startRelay(t, { upstreamPort: upstream.port, app: { requestTimeoutMs: 1_000 } });
    const client = connect(relay.port, '127.0.0.1');
    client.on('error', () => {});
    client.write(get('/', upgrade));
    client.write(large);
    await eventually(() => isSeated(relay, upstream));
    client.destroy();
    await eventually(() => relay.seats.open.size === 0);
    t.same(relay.failed, [{ code: 'upstream_timeout', replayable: false }]);
  },
);

t.test(
  'a client that resets while protocols were switched and the app does not read gives its seat back',
  async (t) => {
    const state: State = {
      sends: [get('/', upgrade), large],
      app: answersAndIsDeaf(switched),
      reached: (_relay, _upstream, client, answer) => answer() !== '' && client.bytesWritten > large.length,
    };
    await leavesNothing(t, state, (client) => void client.resetAndDestroy());
  },
);

async function leavesNothing(t: Test, state: State, leave: (client: Socket) => void): Promise<void> {
  const begun = new Set<Socket>();
  const upstream = await rawUpstream(t, (socket) => {
    if (!begun.has(socket)) state.app(socket);
    begun.add(socket);
  });
  const app = state.isStuck ? { requestTimeoutMs: 1_000 } : {};
  const relay = await startRelay(t, { upstreamPort: upstream.port, app });
  const client = connect(relay.port, '127.0.0.1');
  t.teardown(() => client.destroy());
  client.on('error', () => {});
  let answer = '';
  if (!state.stopsReading) client.on('data', (chunk) => (answer += chunk.toString('latin1')));
  for (const bytes of state.sends) client.write(bytes);
  await eventually(() => state.reached(relay, upstream, client, () => answer));
  leave(client);
  await eventually(() => relay.seats.open.size === 0);
  await eventually(() => upstream.sockets.size === begunAndDeaf(begun).length);
  t.equal(relay.seats.taken, relay.seats.released);
}

/** A deaf app does not see the end of its connection: these are closed by whoever ends the test. */
function begunAndDeaf(begun: ReadonlySet<Socket>): Socket[] {
  return [...begun].filter((socket) => !socket.destroyed && socket.isPaused());
}

/** What an uploader may have sent when it leaves, in bytes, and how much it announced. */
const uploads = [
  { sends: 100_000, announces: 100_000 },
  { sends: 300_000, announces: 300_000 },
  { sends: 300_000, announces: 20_000_000 },
];
for (const [how, leave] of Object.entries(leaves)) {
  for (const { sends, announces } of uploads)
    t.test(
      `an uploader that ${how} its connection after ${sends} of ${announces} bytes while it waits for a boot is forgotten before the boot is done`,
      async (t) => {
        const installation = await install(t, {}, { hello: { env: { BOOT_DELAY_MS: '50000' } } });
        const { port, admin } = await startDaemon(t, installation);
        const waiting = () => metric(admin, /^fastcontainer_queue_length\b/);
        const body = Buffer.alloc(sends, 'x');
        const client = connect(port, '127.0.0.1');
        client.on('error', () => {});
        client.write(`POST /upload HTTP/1.1\r\nHost: hello.localhost\r\nContent-Length: ${announces}\r\n\r\n`);
        client.write(body);
        await eventually(async () => (await waiting()) === 1);
        leave(client);
        await eventually(async () => (await waiting()) === 0);
        t.equal(await metric(admin, /^fastcontainer_boots_total\b/), 0);
      },
    );
}

t.test('a client that only ends its side gets its answer', async (t) => {
  const upstream = await rawUpstream(t, (socket) => void setTimeout(() => socket.write(ok), 50));
  const relay = await startRelay(t, { upstreamPort: upstream.port });
  const client = connect({ port: relay.port, host: '127.0.0.1', allowHalfOpen: true });
  let answer = '';
  client.on('data', (chunk) => (answer += chunk.toString('latin1')));
  client.end(get('/'));
  await once(client, 'end');
  client.destroy();
  t.match(answer, /^HTTP\/1\.1 200 OK\r\n.*\r\n\r\nok$/s);
  await eventually(() => relay.seats.open.size === 0);
});
