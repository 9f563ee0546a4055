// A small app as fastcontainer likes it: it listens where HOST and PORT say, tells when it is ready, and ends on SIGTERM.
import { createServer } from 'node:http';

const host = process.env.HOST ?? '127.0.0.1';
const port = Number(process.env.PORT ?? 3000);
const greeting = process.env.GREETING ?? 'Hello';
const streams = new Set();

const server = createServer((request, response) => {
  const { pathname } = new URL(request.url ?? '/', 'http://localhost');
  if (pathname === '/') return sendText(response, 200, `${greeting} from process ${process.pid}, up ${uptime()}\n`);
  if (pathname === '/healthz') return sendText(response, 200, 'ok\n');
  if (pathname === '/events') return sendEvents(response);
  sendText(response, 404, 'There is nothing here. Try / or /events\n');
});

function sendText(response, status, text) {
  response.writeHead(status, { 'content-type': 'text/plain; charset=utf-8', 'content-length': Buffer.byteLength(text) });
  response.end(text);
}

/** Server-sent events: one a second until the client goes. While it listens, the instance is in use. */
function sendEvents(response) {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
  let id = 0;
  const send = () => response.write(`id: ${id++}\ndata: ${JSON.stringify({ pid: process.pid, uptime: uptime() })}\n\n`);
  send();
  const timer = setInterval(send, 1000);
  streams.add(response);
  response.on('close', () => {
    clearInterval(timer);
    streams.delete(response);
  });
}

function uptime() {
  return `${process.uptime().toFixed(1)} s`;
}

/** Takes no new connections, lets requests finish, ends event streams; a client reconnects and is served by the next instance. */
function stop() {
  server.close(() => process.exit(0));
  server.closeIdleConnections();
  for (const stream of streams) stream.end();
}

process.once('SIGTERM', stop);
process.once('SIGINT', stop);
server.listen(port, host, () => console.log(`hello listens on ${host}:${server.address().port}`));
