import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { connect, type Socket } from 'node:net';
import { setImmediate } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { aheadBytes, aheadBytesInAll, ReadAhead } from '../../src/forward/read-ahead.js';
import { RequestBody } from '../../src/forward/request-body.js';
import { eventually } from '../fixtures/eventually.js';
import { heldMiB } from '../fixtures/held-memory.js';
import { listen } from '../fixtures/raw.js';

interface Waiting {
  readonly req: IncomingMessage;
  readonly res: ServerResponse;
}

/** A server whose requests wait, read ahead. */
async function server(t: Test) {
  const ahead = new ReadAhead();
  const waiting: Waiting[] = [];
  const sockets = new Set<Socket>();
  const http = createServer((req, res) => {
    waiting.push({ req, res });
    const length = req.headers['content-length'];
    ahead.begin(req, res, length === undefined ? undefined : Number(length));
  });
  http.on('connection', (socket) => sockets.add(socket));
  const port = await listen(t, http, sockets);
  const send = (head: string, ...parts: Buffer[]) => {
    const client = connect(port, '127.0.0.1');
    t.teardown(() => client.destroy());
    client.on('error', () => {});
    client.write(`POST / HTTP/1.1\r\nHost: a\r\n${head}\r\n\r\n`);
    for (const part of parts) client.write(part);
    return client;
  };
  return { ahead, waiting, send };
}

const options = { maxBytes: 2 ** 40, idleTimeoutMs: 60_000, minRate: 0, stallTimeoutMs: 60_000 };

async function hashOf(body: AsyncIterable<Buffer>): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of body) hash.update(chunk);
  return hash.digest('hex');
}

function pattern(bytes: number): Buffer {
  return Buffer.from(Uint8Array.from({ length: bytes }, (_, at) => (at * 31 + (at >> 8)) & 0xff));
}

function chunked(bytes: Buffer, each: number): Buffer {
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += each) {
    const piece = bytes.subarray(at, at + each);
    chunks.push(Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n'));
  }
  return Buffer.concat([...chunks, Buffer.from('0\r\n\r\n')]);
}

for (const bytes of [1, 10_000, aheadBytes - 1, aheadBytes, aheadBytes + 1, 3_000_000]) {
  for (const framing of ['length', 'chunks']) {
    t.test(`a body of ${bytes} bytes in ${framing} that was read ahead arrives whole and in order`, async (t) => {
      const { ahead, waiting, send } = await server(t);
      const body = pattern(bytes);
      if (framing === 'length') send(`Content-Length: ${bytes}`, body);
      else send('Transfer-Encoding: chunked', chunked(body, 1_000));
      const { req, res } = (await eventually(() => waiting[0])) as Waiting;
      if (bytes < aheadBytes) await eventually(() => req.complete);
      // An attempt that was never sent does not use it up.
      const unsent = new RequestBody(req, options);
      await setImmediate();
      unsent.destroy();
      t.equal(await hashOf(new RequestBody(req, options)), createHash('sha256').update(body).digest('hex'));
      t.equal(ahead.reserved, 0);
      res.end();
    });
  }
}

t.test('what is read ahead is bounded, for one body and for all, and given back', async (t) => {
  const { ahead, waiting, send } = await server(t);
  const most = aheadBytesInAll / aheadBytes;
  const body = Buffer.alloc(4 * aheadBytes);
  const clients = Array.from({ length: most + 8 }, () => send(`Content-Length: ${body.length}`, body));
  await eventually(() => waiting.length === clients.length);
  t.equal(ahead.reserved, aheadBytesInAll);
  t.ok(waiting.every(({ req }) => req.readableLength <= 256 * 1024));
  for (const client of clients) client.destroy();
  // What stands before their end is more than the system takes: the server ends them.
  for (const { res } of waiting) res.destroy();
  await eventually(() => ahead.reserved === 0);
});

t.test('bytes that come one by one cost no more than others', async (t) => {
  const { waiting, send } = await server(t);
  const body = Buffer.from(`${'1\r\nx\r\n'.repeat(aheadBytes - 1)}0\r\n\r\n`);
  const before = await heldMiB();
  for (let clients = 0; clients < 2; clients += 1) send('Transfer-Encoding: chunked', body);
  await eventually(() => waiting.length === 2 && waiting.every(({ req }) => req.complete));
  // Each byte as a chunk of its own would take more than a hundred. What was garbage is given back a while after it was collected.
  await eventually(async () => (await heldMiB()) - before < 20);
});
