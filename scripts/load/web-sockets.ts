import { once } from 'node:events';
import { type IncomingMessage, request } from 'node:http';
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { hostOf } from './exchange.js';
import { Closed, expectFrom, Refused, WrongAnswer } from './failure.js';
import type { Load } from './load.js';
import { int } from './random.js';
import { noteConnection, type Trace } from './trace.js';

/** Talks that last some seconds: what is said is echoed, in order, until the client hangs up. */
export function webSockets(): Load {
  return {
    kind: 'websocket',
    async once({ port, nextApp, random }, trace) {
      const from = performance.now();
      const { socket, head, cold } = await open(port, nextApp(), trace);
      const ms = performance.now() - from;
      try {
        const echoes = new Echoes(socket, head);
        const rounds = 1 + int(random, 10);
        for (let round = 0; round < rounds; round += 1) {
          const text = `${round} ${random()}`;
          socket.write(textFrame(text));
          echoes.lastFrameAt = performance.now();
          const echo = await echoes.next();
          if (echo !== text) throw new WrongAnswer(`'${text}' was echoed as '${echo}'`);
          await sleep(random() * 300);
        }
      } finally {
        socket.destroy();
      }
      return { kind: 'websocket', cold, ms };
    },
  };
}

async function open(port: number, app: string, trace: Trace): Promise<{ socket: Socket; head: Buffer; cold: boolean }> {
  Object.assign(trace, { app, port });
  const req = request({
    ...{ host: '127.0.0.1', port, path: '/talk', agent: false },
    headers: {
      host: hostOf(app),
      'x-trace': trace.id,
      connection: 'Upgrade',
      upgrade: 'websocket',
      'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
      'sec-websocket-version': '13',
    },
  });
  noteConnection(trace, req);
  req.end();
  const refused = once(req, 'response').then(([res]) => {
    const { statusCode: status = 0, headers } = res as IncomingMessage;
    req.destroy();
    const fastcontainerError = headers['x-fastcontainer-error'] as string | undefined;
    throw new Refused({ status, fastcontainerError, retryAfter: headers['retry-after'] });
  });
  refused.catch(() => {});
  const [res, socket, head] = (await Promise.race([once(req, 'upgrade'), refused])) as [
    IncomingMessage,
    Socket,
    Buffer,
  ];
  socket.on('error', () => {});
  trace.answered = true;
  expectFrom(app, res.headers['x-instance']);
  return { socket, head, cold: res.headers['server-timing'] !== undefined };
}

/** Short text frames as they come in. */
class Echoes {
  #buffer: Buffer;
  #isClosed = false;
  #wake: () => void = () => {};
  /** When the last frame went or came, closing ones left out. */
  lastFrameAt = performance.now();

  constructor(socket: Socket, head: Buffer) {
    this.#buffer = head;
    socket.on('data', (chunk: Buffer) => {
      this.#buffer = Buffer.concat([this.#buffer, chunk]);
      this.#wake();
    });
    socket.on('close', () => {
      this.#isClosed = true;
      this.#wake();
    });
  }

  async next(): Promise<string> {
    for (;;) {
      const length = 2 + ((this.#buffer[1] ?? 0) & 0x7f);
      if (this.#buffer.length >= 2 && this.#buffer.length >= length) {
        const frame = this.#buffer.subarray(0, length);
        this.#buffer = this.#buffer.subarray(length);
        if (((frame[0] as number) & 0x0f) === 8) {
          throw new Closed(frame.readUInt16BE(2), performance.now() - this.lastFrameAt);
        }
        this.lastFrameAt = performance.now();
        return frame.subarray(2).toString();
      }
      if (this.#isClosed) throw new Error('the WebSocket was cut');
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }
}

function textFrame(text: string): Buffer {
  const payload = Buffer.from(text);
  return Buffer.concat([Buffer.from([0x81, 0x80 | payload.length, 0, 0, 0, 0]), payload]);
}
