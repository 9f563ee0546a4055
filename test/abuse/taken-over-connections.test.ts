import { connect } from 'node:net';
import { once } from 'node:events';
import t from 'tap';
import { eventually } from '../fixtures/eventually.js';
import { ok, rawUpstream } from '../fixtures/raw.js';
import { startRelay } from '../fixtures/relay.js';
import { ask } from '../fixtures/request.js';

const upgrade =
  'Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\nSec-WebSocket-Version: 13\r\n\r\n';

/** Requests with which node's server lets go of the connection. */
const takers: Record<string, string> = {
  'an upgrade': `GET / HTTP/1.1\r\nHost: a\r\n${upgrade}`,
  'an upgrade with a method that has none': `OPTIONS / HTTP/1.1\r\nHost: a\r\n${upgrade}`,
  'an offer of HTTP/2': 'GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n',
  'an upgrade with a body': `POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n${upgrade}hello`,
  'a tunnel': 'CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n',
};

for (const [name, bytes] of Object.entries(takers)) {
  t.test(`${name} that is sent behind a request not answered yet closes the connection and harms nobody`, async (t) => {
    const upstream = await rawUpstream(t, (socket, received) => {
      if (!received.includes('/slow')) socket.write(ok);
    });
    const relay = await startRelay(t, { upstreamPort: upstream.port });
    for (let round = 0; round < 3; round += 1) {
      const client = connect(relay.port, '127.0.0.1');
      client.on('error', () => {});
      client.resume();
      client.write(`GET /slow HTTP/1.1\r\nHost: a\r\n\r\n${bytes}`);
      await new Promise<void>((resolve) => client.once('close', () => resolve()));
    }
    await eventually(() => relay.seats.open.size === 0);
    t.match(await ask(relay.port, 'a'), { status: 200, body: 'ok' });
    t.same(relay.refused, ['bad_request', 'bad_request', 'bad_request']);
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
