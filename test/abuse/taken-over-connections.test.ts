import { connect } from 'node:net';
import { once } from 'node:events';
import t from 'tap';
import { eventually } from '../fixtures/eventually.js';
import { ok, rawUpstream } from '../fixtures/raw.js';
import { startRelay } from '../fixtures/relay.js';
import { ask } from '../fixtures/request.js';

const upgrade =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n';

/** Requests that ask to take over the connection. What is no GET without a body for another protocol than HTTP stays in HTTP. */
const takers: Record<string, string> = {
  'an upgrade': `GET / HTTP/1.1\r\nHost: a\r\n${upgrade}`,
  'an upgrade with a method that has none': `OPTIONS / HTTP/1.1\r\nHost: a\r\n${upgrade}`,
  'an offer of HTTP/2': 'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n',
  'an upgrade with a body': `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n${upgrade}hello`,
  'a tunnel': 'CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n',
};

for (const [name, bytes] of Object.entries(takers)) {
  t.test(`${name} that is sent behind a request not answered yet takes over nothing, and is the last`, async (t) => {
    const upstream = await rawUpstream(t, (socket, received) => {
      if (received.endsWith('\r\n\r\n') || received.endsWith('hello')) setTimeout(() => socket.write(ok), 20);
    });
    const relay = await startRelay(t, { upstreamPort: upstream.port });
    for (let round = 0; round < 3; round += 1) {
      const client = connect(relay.port, '127.0.0.1');
      client.on('error', () => {});
      let answer = '';
      client.on('data', (chunk) => (answer += chunk.toString('latin1')));
      client.write(`GET /slow HTTP/1.1\r\nHost: a\r\n\r\n${bytes}GET /behind HTTP/1.1\r\nHost: a\r\n\r\n`);
      await once(client, 'end');
      t.match(answer, /^HTTP\/1\.1 200 OK\r\n.*\r\n\r\nokHTTP\/1\.1 (200|400) .*\r\nConnection: close\r\n/s);
      t.equal(answer.split('HTTP/1.1 ').length, 3, 'two answers');
    }
    await eventually(() => relay.seats.open.size === 0);
    t.notMatch(upstream.received.join(''), /behind|upgrade/i);
    t.match(await ask(relay.port, 'a'), { status: 200, body: 'ok' });
  });

  t.test(`a client that sends ${name} and never closes is closed after its answer`, async (t) => {
    const upstream = await rawUpstream(t, (socket) => void socket.write(ok));
    const relay = await startRelay(t, { upstreamPort: upstream.port });
    const client = connect({ port: relay.port, host: '127.0.0.1', allowHalfOpen: true });
    t.teardown(() => client.destroy());
    client.on('error', () => {});
    const answer = once(client, 'data');
    client.write(bytes);
    t.match(String((await answer)[0]), /^HTTP\/1\.1 (200|400) /);
    await eventually(() => relay.seats.open.size === 0);
    await eventually(() => client.closed || !handles().includes(client.localPort));
  });

  t.test(`clients that send ${name} and reset the connection end nothing but themselves`, async (t) => {
    const upstream = await rawUpstream(t, (socket) => void socket.write(ok));
    const relay = await startRelay(t, { upstreamPort: upstream.port });
    for (let round = 0; round < 30; round += 1) {
      const client = connect(relay.port, '127.0.0.1');
      client.on('error', () => {});
      await once(client, 'connect');
      client.write(bytes, () => client.resetAndDestroy());
      await once(client, 'close');
    }
    await eventually(() => relay.seats.open.size === 0);
    t.match(await ask(relay.port, 'a'), { status: 200, body: 'ok' });
  });
}

/** Remote ports of the connections that this process, and so the relay, holds open. */
function handles(): unknown[] {
  const open = (process as unknown as { _getActiveHandles(): { remotePort?: number }[] })._getActiveHandles();
  return open.map(({ remotePort }) => remotePort);
}
