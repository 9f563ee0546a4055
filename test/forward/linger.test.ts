import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { install, startDaemon } from '../fixtures/daemon.js';
import { eventually } from '../fixtures/eventually.js';
import { rawUpstream } from '../fixtures/raw.js';
import { type RelayOptions, startRelay } from '../fixtures/relay.js';

const size = 20 * 1024 * 1024;
const body = Buffer.alloc(size, 'x');

/** A client that reads nothing before it has sent everything, as python's http.client does. */
async function upload(port: number, head: string, bytes: Buffer = body): Promise<string> {
  const client = connect(port, '127.0.0.1');
  client.pause();
  let failure: Error | undefined;
  client.on('error', (error) => (failure = error));
  client.write(head);
  await new Promise((resolve) => client.write(bytes, resolve));
  if (failure) return `failed: ${failure.message}`;
  let answer = '';
  client.on('data', (chunk) => (answer += chunk.toString('latin1')));
  const ended = once(client, 'end');
  client.resume();
  await Promise.race([ended, once(client, 'close')]);
  client.destroy();
  return answer;
}

const post = (host: string, more = '') => `POST / HTTP/1.1\r\nHost: ${host}\r\n${more}Content-Length: ${size}\r\n\r\n`;

async function relayTo(t: Test, answer: string, options: Partial<RelayOptions> = {}) {
  const answered = new Set<Socket>();
  const upstream = await rawUpstream(t, (socket) => {
    if (!answered.has(socket)) socket.write(answer);
    answered.add(socket);
  });
  return startRelay(t, { upstreamPort: upstream.port, ...options });
}

const unauthorized = 'HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno';
for (const more of ['', 'Connection: close\r\n']) {
  t.test(`an answer that comes before the body was read arrives (${more.trim() || 'kept'})`, async (t) => {
    const relay = await relayTo(t, unauthorized);
    for (let round = 0; round < 5; round += 1) {
      t.match(await upload(relay.port, post('a', more)), /^HTTP\/1\.1 401 Unauthorized\r\n.*\r\n\r\nno$/s);
    }
    await eventually(() => relay.seats.open.size === 0);
  });

  t.test(`a refusal of a body that is too large arrives (${more.trim() || 'kept'})`, async (t) => {
    const relay = await relayTo(t, '', { app: { maxRequestBodyBytes: 1_000_000 } });
    for (const head of [
      post('a', more),
      post('a', more).replace(/Content-Length.*\r\n/, 'Transfer-Encoding: chunked\r\n'),
    ]) {
      const chunks = Buffer.concat([Buffer.from(`${size.toString(16)}\r\n`), body, Buffer.from('\r\n0\r\n\r\n')]);
      const answer = await upload(relay.port, head, head.includes('chunked') ? chunks : body);
      t.match(answer, /^HTTP\/1\.1 413 .*x-fastcontainer-error: payload_too_large/s);
    }
    await eventually(() => relay.seats.open.size === 0);
  });
}

t.test('a refusal of what cannot be parsed arrives', async (t) => {
  const relay = await relayTo(t, unauthorized);
  const bytes = Buffer.alloc(3_000_000, 'X-Pad: y\r\n');
  t.match(await upload(relay.port, 'GET / HTTP/1.1\r\nHost: a\r\n', bytes), /^HTTP\/1\.1 431 /);
  t.match(await upload(relay.port, 'garbage\r\n\r\n', bytes), /^HTTP\/1\.1 400 /);
});

t.test('refusals without an app arrive: an unknown domain, a boot that fails', async (t) => {
  const { port } = await startDaemon(
    t,
    await install(t, {}, { broken: { command: [process.execPath, '-e', 'process.exit(1)'] } }),
  );
  t.match(await upload(port, post('nobody.localhost')), /^HTTP\/1\.1 404 .*unknown_domain/s);
  t.match(await upload(port, post('broken.localhost')), /^HTTP\/1\.1 503 .*boot_failed/s);
});

t.test('who goes on sending after its answer is read for a bounded time, and without bound for nobody', async (t) => {
  const relay = await relayTo(t, unauthorized);
  const client = connect({ port: relay.port, host: '127.0.0.1', allowHalfOpen: true });
  client.on('error', () => {});
  client.resume();
  client.write(`POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n`);
  const chunk = Buffer.concat([Buffer.from('100000\r\n'), Buffer.alloc(0x100000), Buffer.from('\r\n')]);
  const send = () => {
    while (!client.destroyed && client.write(chunk));
  };
  client.on('drain', send);
  send();
  await new Promise((resolve) => client.once('close', resolve));
  t.ok(client.bytesWritten > 20 * chunk.length, `${client.bytesWritten} bytes were taken`);
  await eventually(() => relay.seats.open.size === 0);
});
