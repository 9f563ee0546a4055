import { createHash } from 'node:crypto';
import { appendFileSync, utimesSync } from 'node:fs';
import { createServer, type IncomingMessage } from 'node:http';
import { createServer as createLock } from 'node:net';
import { join } from 'node:path';
import type { Duplex } from 'node:stream';

// The app under load: echoes numbers, bodies and WebSocket frames, and streams events. Started as `app.js RUN`, where RUN
// names the run, so that what a run left behind can be found. With JOURNAL, a directory, it notes there which requests
// reached it, and how long it ran; with ALONE, a name, it notes there as well if another process of that name runs at the same time.

const { HOST, PORT, JOURNAL, ALONE, FASTCONTAINER_APP = '', FASTCONTAINER_INSTANCE = '' } = process.env;

function note(line: string): void {
  if (JOURNAL !== undefined) appendFileSync(join(JOURNAL, FASTCONTAINER_INSTANCE), `${line}\n`);
}

/** The journal's time of change is when it ran last. */
function noteTime(): void {
  const now = Date.now() / 1_000;
  if (JOURNAL !== undefined) utimesSync(join(JOURNAL, FASTCONTAINER_INSTANCE), now, now);
}

if (JOURNAL !== undefined) {
  note(`= ${Math.round(performance.timeOrigin)}`);
  setInterval(noteTime, 100).unref();
  process.on('exit', noteTime);
}

/** Before anything is done for it, so that what a killed app leaves shows all that it had taken. */
function noteRequest({ method, headers }: IncomingMessage): void {
  const { host = '', 'x-trace': trace } = headers;
  if (trace !== undefined) note(`${method} ${String(trace)}`);
  if (host.split('.')[0] !== FASTCONTAINER_APP)
    note(`! ${Date.now()} a request for ${host} reached ${FASTCONTAINER_INSTANCE}`);
}

if (ALONE !== undefined) {
  // A name that the kernel gives to one process at a time and takes back however it ends, which no file does.
  const lock = createLock().unref();
  lock.on('error', () => note(`! ${Date.now()} ${FASTCONTAINER_INSTANCE} runs beside another instance`));
  lock.listen({ path: `\0fastcontainer-alone-${ALONE}` });
}

const server = createServer((req, res) => {
  noteRequest(req);
  res.setHeader('x-instance', FASTCONTAINER_INSTANCE);
  const url = new URL(req.url ?? '/', 'http://app');
  if (url.pathname === '/mirror') return void req.pipe(res);
  if (url.pathname !== '/events') {
    return void res.end(JSON.stringify({ nonce: url.searchParams.get('nonce'), instance: FASTCONTAINER_INSTANCE }));
  }
  let left = Number(url.searchParams.get('count'));
  res.writeHead(200, { 'content-type': 'text/event-stream' });
  res.flushHeaders();
  const timer = setInterval(
    () => {
      res.write(`data: ${left}\n\n`);
      left -= 1;
      if (left > 0) return;
      clearInterval(timer);
      res.end();
    },
    Number(url.searchParams.get('ms')),
  );
  res.on('close', () => clearInterval(timer));
});

server.on('upgrade', (req, socket: Duplex) => {
  noteRequest(req);
  const key = `${req.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
  const accept = createHash('sha1').update(key).digest('base64');
  socket.on('error', () => socket.destroy());
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n` +
      `X-Instance: ${FASTCONTAINER_INSTANCE}\r\n\r\n`,
  );
  let buffer = Buffer.alloc(0);
  socket.on('data', (chunk: Buffer) => {
    buffer = Buffer.concat([buffer, chunk]);
    for (;;) {
      const size = (buffer[1] ?? 0) & 0x7f;
      if (buffer.length < 2 || buffer.length < 6 + size) return;
      if (((buffer[0] ?? 0) & 0x0f) === 8) return void socket.end(Buffer.from([0x88, 0x00]));
      const mask = buffer.subarray(2, 6);
      const payload = buffer.subarray(6, 6 + size).map((byte, index) => byte ^ (mask[index % 4] ?? 0));
      socket.write(Buffer.concat([Buffer.from([0x81, size]), payload]));
      buffer = buffer.subarray(6 + size);
    }
  });
});

server.listen(Number(PORT), HOST);
process.on('SIGTERM', () => process.exit(0));
