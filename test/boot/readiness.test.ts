import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server } from 'node:net';
import t, { type Test } from 'tap';
import { awaitReady } from '../../src/boot/readiness.js';
import { connectionProbe } from '../../src/machine/probe.js';
import { systemClock } from '../../src/machine/system-clock.js';

// The system clock's timers do not keep a process alive; in the daemon its server does.
const alive = setInterval(() => {}, 1_000);
t.teardown(() => clearInterval(alive));

async function listen(t: Test, server: Server): Promise<{ host: string; port: number }> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  return { host: '127.0.0.1', port: (server.address() as AddressInfo).port };
}

const options = (address: { host: string; port: number }, signal = new AbortController().signal) => ({
  address,
  readiness: { tcp: true } as const,
  domain: 'shop.example',
  probe: connectionProbe,
  isListening: async () => undefined,
  clock: systemClock,
  signal,
});

t.test('a port that accepts and keeps the connection is ready', async (t) => {
  await awaitReady(
    options(
      await listen(
        t,
        createServer((socket) => socket.resume()),
      ),
    ),
  );
});

t.test('a port that accepts but closes is not ready until it stops doing so', async (t) => {
  let connections = 0;
  const address = await listen(
    t,
    createServer((socket) => {
      connections += 1;
      if (connections <= 3) socket.end();
      else socket.on('error', () => {}).resume();
    }),
  );
  await awaitReady(options(address));
  t.equal(connections, 4);
});

t.test(
  'an app that takes longer to answer than the first attempt lasts is asked few times, one at a time',
  async (t) => {
    let asked = 0;
    let open = 0;
    let most = 0;
    const server = createHttpServer((req, res) => {
      asked += 1;
      most = Math.max(most, (open += 1));
      req.socket.once('close', () => (open -= 1));
      setTimeout(() => res.end('ready'), 1_300);
    });
    const address = await listen(t, server);
    await awaitReady({ ...options(address), readiness: { http: '/healthz' } });
    t.equal(asked, 2);
    t.equal(most, 1);
  },
);

t.test('an app that begins to listen late is found', async (t) => {
  const server = createServer((socket) => socket.resume());
  const address = await listen(t, server);
  await new Promise((resolve) => server.close(resolve));
  const ready = awaitReady(options(address));
  await new Promise<void>((resolve) => server.listen(address.port, address.host, resolve));
  await ready;
});

t.test('an HTTP check wants 2xx or 3xx, with the domain as its host', async (t) => {
  const statuses = [500, 404, 503, 204];
  const hosts = new Set<string | undefined>();
  const address = await listen(
    t,
    createHttpServer((req, res) => {
      hosts.add(`${req.headers.host} ${req.url}`);
      res.writeHead(statuses.shift() ?? 200).end();
    }),
  );
  await awaitReady({ ...options(address), readiness: { http: '/healthz' } });
  t.same(statuses, []);
  t.same([...hosts], ['shop.example /healthz']);
});

t.test('another process that listens on the port does not count', async (t) => {
  const address = await listen(
    t,
    createServer((socket) => socket.resume()),
  );
  const answers = [false, false, true];
  await awaitReady({ ...options(address), isListening: async () => answers.shift() });
  t.same(answers, []);
});

t.test('what is known to be the instance itself is ready as soon as it accepts', async (t) => {
  let looks = 0;
  const address = await listen(
    t,
    createServer((socket) => socket.end()),
  );
  const isListening = async () => {
    looks += 1;
    return true;
  };
  await awaitReady({ ...options(address), isListening });
  t.equal(looks, 1);
});

t.test('an app that is found dead ends the wait with what the look says', async (t) => {
  const address = await listen(
    t,
    createServer((socket) => socket.resume()),
  );
  const isListening = () => Promise.reject(new Error('it ended'));
  await t.rejects(awaitReady({ ...options(address), isListening }), { message: 'it ended' });
});

t.test('the signal ends the wait with its reason', async (t) => {
  const server = createServer();
  const address = await listen(t, server);
  await new Promise((resolve) => server.close(resolve));
  const stop = new AbortController();
  const waiting = awaitReady(options(address, stop.signal));
  stop.abort(new Error('too late'));
  await t.rejects(waiting, { message: 'too late' });
});
