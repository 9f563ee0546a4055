import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { hostOf } from './exchange.js';
import type { Load } from './load.js';
import { int, pick } from './random.js';

/** Requests in the state in which their client leaves them. */
const stages: readonly ((host: string) => string)[] = [
  () => '',
  () => 'GET / HTT',
  (host) => `GET /echo HTTP/1.1\r\nHost: ${host}\r\nX-Half`,
  (host) => `GET /echo HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
  (host) => `GET /events?count=100&ms=50 HTTP/1.1\r\nHost: ${host}\r\n\r\n`,
  (host) => `POST /mirror HTTP/1.1\r\nHost: ${host}\r\nContent-Length: 100000\r\n\r\nhalf`,
  (host) => `POST /mirror HTTP/1.1\r\nHost: ${host}\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe`,
  (host) =>
    `GET /talk HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n` +
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n',
];

/** Clients that vanish at a random moment: by a reset, by half an end, or by an end of both directions. */
export function aborts(): Load {
  return {
    kind: 'abort',
    async once({ port, nextApp, random }) {
      const socket = connect(port, '127.0.0.1');
      socket.on('error', () => {});
      const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
      socket.resume();
      socket.write(pick(random, stages)(hostOf(nextApp())));
      await sleep(random() * 200);
      const way = int(random, 3);
      if (way === 0) socket.resetAndDestroy();
      else if (way === 1) socket.destroy();
      else socket.end();
      // A dispatcher may answer what it has of a client that only half ended; it need not.
      await Promise.race([closed, sleep(1_000)]);
      socket.destroy();
      return undefined;
    },
  };
}
