import { connect, type Socket } from 'node:net';

/** Where in its exchange a client vanishes. */
export type Moment = 'boot' | 'header' | 'body' | 'answer' | 'stream' | 'websocket' | 'idle';

export const moments: readonly Moment[] = ['boot', 'header', 'body', 'answer', 'stream', 'websocket', 'idle'];

const websocket = [
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
].join('\r\n');

/**
 * Connects, sends what brings it to its moment, and is gone `lingerMs` after it was connected, without a word. Resolves
 * when its socket is closed, however that came about.
 */
export function vanish(port: number, host: string, moment: Moment, lingerMs: number): Promise<void> {
  return new Promise((resolve) => {
    const socket: Socket = connect({ port, host: '127.0.0.1' });
    socket.on('error', () => {});
    socket.once('close', () => resolve());
    socket.once('connect', () => {
      socket.write(opening(host, moment));
      setTimeout(() => leave(socket, moment), lingerMs);
    });
    socket.resume();
  });
}

function opening(host: string, moment: Moment): string {
  const head = (method: string, path: string) => `${method} ${path} HTTP/1.1\r\nHost: ${host}\r\n`;
  switch (moment) {
    case 'header':
      return `${head('GET', '/')}X-Never-Ends: `;
    case 'body':
      return `${head('POST', '/upload')}Content-Length: 100000\r\n\r\n${'x'.repeat(1_000)}`;
    case 'answer':
      return `${head('GET', '/slow?ms=2000')}\r\n`;
    case 'stream':
      return `${head('GET', '/events')}\r\n`;
    case 'websocket':
      return `${head('GET', '/')}${websocket}\r\n\r\n`;
    case 'boot':
    case 'idle':
      return `${head('GET', '/')}\r\n`;
  }
}

/** Half of them with a reset, half with an orderly end that nobody waits for. */
function leave(socket: Socket, moment: Moment): void {
  if (moment === 'idle' || Math.random() < 0.5) socket.destroy();
  else socket.resetAndDestroy();
}
