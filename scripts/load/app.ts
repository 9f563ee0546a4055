import { createHash } from 'node:crypto';
import { createServer } from 'node:http';
import type { Duplex } from 'node:stream';

// The app under load: echoes numbers, bodies and WebSocket frames, and streams events. Started as `app.js RUN`, where RUN
// names the run, so that what a run left behind can be found.

const { HOST, PORT, FASTCONTAINER_INSTANCE } = process.env;

const server = createServer((req, res) => {
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
  const key = `${req.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`;
  const accept = createHash('sha1').update(key).digest('base64');
  socket.on('error', () => socket.destroy());
  socket.write(
    `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`,
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
