import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import t, { type Test } from 'tap';
import { buildConnector } from 'undici';
import {
  HeadersTimeout,
  Http1Client,
  type Http1Request,
  reading,
} from '../../../src/forward/http1-client/http1-client.js';
import { Unsendable } from '../../../src/forward/http1-client/request-head.js';
import { Turns } from '../../../src/forward/http1-client/turns.js';
import { eventually } from '../../fixtures/eventually.js';
import { ok, rawUpstream } from '../../fixtures/raw.js';

async function setUp(t: Test, onData: (socket: Socket, received: string, connection: number) => void) {
  const app = await rawUpstream(t, onData);
  const client = new Http1Client({
    host: '127.0.0.1',
    port: app.port,
    connect: buildConnector({ timeout: 5_000, onread: reading() }),
    turns: new Turns(),
    keptMs: 60_000,
    mostKeptMs: 60_000,
    thresholdMs: 1_000,
  });
  t.teardown(() => client.destroy());
  return { app, client };
}

interface Asked {
  status: number | undefined;
  body: string;
  error: Error | undefined;
  isOver: boolean;
  /** Breaks it off. */
  abort(): void;
}

/** Hands a request to the client; what comes of it is told as it comes. */
function dispatch(client: Http1Client, request: Partial<Http1Request> = {}): Asked {
  const handler = {
    onConnect() {},
    onHeaders: (status: number) => void (asked.status = status),
    onData(bytes: Buffer, from: number, to: number) {
      asked.body += bytes.toString('latin1', from, to);
      return true;
    },
    onComplete: () => void (asked.isOver = true),
    onError(error: Error) {
      asked.error = error;
      asked.isOver = true;
    },
  };
  const abort = () => client.abort(handler);
  const asked: Asked = { status: undefined, body: '', error: undefined, isOver: false, abort };
  client.dispatch({ method: 'GET', path: '/', ...request }, handler);
  return asked;
}

async function ask(client: Http1Client, request: Partial<Http1Request> = {}): Promise<Asked> {
  const asked = dispatch(client, request);
  await eventually(() => asked.isOver);
  return asked;
}

const endsRequest = (received: string) => received.endsWith('\r\n\r\n') || received.endsWith('!');

t.test('a request is written as it was given, and says how its connection goes on', async (t) => {
  const { app, client } = await setUp(t, (socket) => void socket.write(ok));
  const headers = ['Host', 'a', 'X-ODD', '1'];
  t.match(await ask(client, { headers }), { status: 200, body: 'ok' });
  t.match(await ask(client, { method: 'POST', headers }), { status: 200 });
  t.match(await ask(client, { headers, isLast: true }), { status: 200 });
  t.match(await ask(client, { method: 'HEAD', headers }), { status: 200, body: '' });
  const lines = 'Host: a\r\nX-ODD: 1\r\n';
  t.same(app.received, [
    `GET / HTTP/1.1\r\n${lines}Connection: keep-alive\r\n\r\n` +
      `POST / HTTP/1.1\r\n${lines}Connection: keep-alive\r\nContent-Length: 0\r\n\r\n` +
      `GET / HTTP/1.1\r\n${lines}Connection: close\r\n\r\n`,
    `HEAD / HTTP/1.1\r\n${lines}Connection: close\r\n\r\n`,
  ]);
  await eventually(() => app.sockets.size === 0);
});

t.test('a body is written by its length or in chunks', async (t) => {
  const { app, client } = await setUp(t, (socket, received) => {
    if (received.endsWith('!') || received.endsWith('\r\n0\r\n\r\n')) socket.write(ok);
  });
  const body = () => Readable.from([Buffer.from('hello'), Buffer.from('x'.repeat(20)), Buffer.from('!')]);
  t.match(await ask(client, { method: 'POST', body: body(), contentLength: 26 }), { status: 200 });
  t.match(await ask(client, { method: 'POST', body: body() }), { status: 200 });
  t.match(await ask(client, { method: 'POST', body: Readable.from([]) }), { status: 200 });
  const [, first, second, third] = (app.received[0] ?? '').split('POST / HTTP/1.1\r\n');
  const lines = 'Host: 127.0.0.1\r\nConnection: keep-alive\r\n';
  t.equal(first, `${lines}Content-Length: 26\r\n\r\nhello${'x'.repeat(20)}!`);
  t.equal(
    second,
    `${lines}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n14\r\n${'x'.repeat(20)}\r\n1\r\n!\r\n0\r\n\r\n`,
  );
  t.equal(third, `${lines}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n`);
});

t.test('a large body arrives as it is, in the pace of the app', async (t) => {
  const bytes = 2 * 1024 * 1024;
  const { app, client } = await setUp(t, (socket, received) => {
    if (received.endsWith('!')) socket.write(ok);
  });
  const chunk = Buffer.alloc(100_000, 'x');
  let left = bytes;
  const body = new Readable({
    read() {
      const length = Math.min(left, chunk.length);
      left -= length;
      this.push(
        length === 0
          ? null
          : left === 0
            ? Buffer.concat([chunk.subarray(1, length), Buffer.from('!')])
            : chunk.subarray(0, length),
      );
    },
  });
  t.match(await ask(client, { method: 'PUT', body, contentLength: bytes }), { status: 200 });
  t.equal(app.received[0]?.split('\r\n\r\n')[1]?.length, bytes);
});

t.test('the header does not wait for a body that does not come', async (t) => {
  const { app, client } = await setUp(t, () => {});
  const asked = dispatch(client, { method: 'POST', body: new Readable({ read() {} }), contentLength: 5 });
  await eventually(() => app.received[0]?.endsWith('Content-Length: 5\r\n\r\n'));
  asked.abort();
  await eventually(() => app.sockets.size === 0);
});

t.test('nothing is written beyond the length that was announced, and less is no request', async (t) => {
  const { app, client } = await setUp(t, () => {});
  for (const parts of [['12345', 'GET /evil'], ['12345GET /evil'], ['1234']]) {
    const body = Readable.from(parts.map((part) => Buffer.from(part)));
    const { error } = await ask(client, { method: 'POST', body, contentLength: 5 });
    t.match(error?.message, /shorter or longer than its Content-Length/);
  }
  await eventually(() => app.sockets.size === 0);
  t.notMatch(app.received.join(''), /evil/);
});

t.test('a body that fails breaks off its request', async (t) => {
  const { app, client } = await setUp(t, () => {});
  const body = new Readable({ read() {} });
  const asked = dispatch(client, { method: 'POST', body });
  body.push('hello');
  await eventually(() => app.received[0]?.endsWith('hello\r\n'));
  body.destroy(new Error('gone'));
  await eventually(() => asked.error?.message === 'gone' && app.sockets.size === 0);
  t.notMatch(app.received[0], /0\r\n\r\n$/);
  const failed = new Readable({ read() {} }).on('error', () => {});
  failed.destroy(new Error('gone before'));
  t.match(await ask(client, { method: 'POST', body: failed }), { error: { message: 'gone before' } });
});

t.test('a request that an app would read as another is not written', async (t) => {
  const { app, client } = await setUp(t, (socket) => void socket.write(ok));
  t.type(dispatch(client, { headers: ['Host', 'a\r\nX: y'] }).error, Unsendable);
  t.match(await ask(client), { status: 200 }, 'and the next one is');
  t.equal(app.received.length, 1);
});

t.test('what is left of a broken-off answer never reaches the next request', async (t) => {
  const { app, client } = await setUp(t, (socket, received, connection) => {
    if (!endsRequest(received)) return;
    if (connection > 0) return void socket.write(ok);
    socket.write('HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\nEVIL');
    setTimeout(() => socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL`), 20);
  });
  const first = dispatch(client);
  await eventually(() => first.body === 'EVIL');
  first.abort();
  t.match(await ask(client), { status: 200, body: 'ok' });
  t.equal(app.received.length, 2);
  t.equal(first.isOver, false, 'its handler hears nothing more');
});

t.test('a request that takes the place of one under way goes on a connection of its own', async (t) => {
  const { app, client } = await setUp(t, (socket, _, connection) => {
    if (connection > 0) socket.write(ok);
    else setTimeout(() => socket.write(`HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL`), 20);
  });
  const first = dispatch(client);
  await eventually(() => app.received[0]);
  t.match(await ask(client), { status: 200, body: 'ok' });
  t.match(first, { status: undefined, error: { message: 'the app closed the connection' } });
});

t.test('a request that was not written when its connection went is written to another', async (t) => {
  const { app, client } = await setUp(t, (socket, _, connection) => {
    socket.write(ok);
    // Behind its answer, while nothing is asked.
    if (connection === 0) setImmediate(() => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nEVIL'));
  });
  let lost = 0;
  client.on('disconnect', () => (lost += 1));
  t.match(await ask(client), { body: 'ok' });
  await eventually(() => lost === 1);
  t.match(await ask(client), { body: 'ok' });
  t.equal(app.received.length, 2);
});

t.test('an answer that comes before the request was written whole is the last on its connection', async (t) => {
  const { app, client } = await setUp(t, (socket) => void socket.write(ok));
  t.match(await ask(client, { method: 'POST', body: new Readable({ read() {} }), contentLength: 5 }), { body: 'ok' });
  t.match(await ask(client), { body: 'ok' });
  t.equal(app.received.length, 2);
});

t.test('an answer that does not begin in time fails, but for a client that has not sent its body', async (t) => {
  const { app, client } = await setUp(t, () => {});
  const now = performance.now();
  const waits = dispatch(client, { headersTimeout: 1_000 });
  await eventually(() => app.received[0] !== undefined && app.received[0] !== '');
  client.check(now + 500);
  t.notOk(waits.isOver);
  client.check(performance.now() + 1_000);
  t.type(waits.error, HeadersTimeout);
  const body = new Readable({ read() {} });
  const sends = dispatch(client, { method: 'POST', body, contentLength: 5, headersTimeout: 1_000 });
  await eventually(() => app.received[1]?.endsWith('\r\n\r\n'));
  client.check(performance.now() + 1_000);
  t.notOk(sends.isOver);
  body.push('hello');
  body.push(null);
  await eventually(() => app.received[1]?.endsWith('hello'));
  client.check(performance.now() + 1_000);
  t.type(sends.error, HeadersTimeout);
});

t.test('an app that reads a body slowly has its time, and one that stops reading does not', async (t) => {
  let app: Socket | undefined;
  const { client } = await setUp(t, (socket) => void (app ??= socket.pause()));
  const chunk = Buffer.alloc(1024 * 1024);
  let taken = 0;
  const body = new Readable({
    read() {
      taken += 1;
      this.push(chunk);
    },
  });
  const asked = dispatch(client, { method: 'POST', body, headersTimeout: 1_000 });
  await eventually(() => app && body.isPaused());
  for (let round = 0; round < 3; round += 1) {
    const before = taken;
    app?.resume();
    await eventually(() => taken > before + 20);
    app?.pause();
    client.check(performance.now() + 1_000);
    t.notOk(asked.isOver);
  }
  await eventually(() => {
    client.check(performance.now() + 1_000);
    return asked.isOver;
  });
  t.type(asked.error, HeadersTimeout);
});

t.test('an app that speaks before it is asked is not listened to', async (t) => {
  const { app, client } = await setUp(t, (socket, received) => {
    if (endsRequest(received)) socket.write(ok);
  });
  t.match(await ask(client), { body: 'ok' });
  let lost = 0;
  client.on('disconnect', () => (lost += 1));
  for (const socket of app.sockets) socket.write('H');
  await eventually(() => lost === 1 && app.sockets.size === 0);
});

t.test('a client that was destroyed asks nothing more', async (t) => {
  const { app, client } = await setUp(t, () => {});
  const under = dispatch(client);
  await eventually(() => app.sockets.size === 1);
  client.destroy();
  t.match(under, { error: { message: 'the app closed the connection' } });
  t.match(dispatch(client), { error: { message: 'the app closed the connection' } });
  await eventually(() => app.sockets.size === 0);
  t.equal(app.received.length, 1);
});
