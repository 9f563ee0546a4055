import { Agent } from 'node:http';
import { createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { listen } from '../fixtures/raw.js';
import { startRelay } from '../fixtures/relay.js';
import { ask } from '../fixtures/request.js';

/** As python's HTTPServer: what waits is connected and unread. It would keep an idle connection for long. */
async function startOneAtATime(t: Test): Promise<number> {
  const waiting: Socket[] = [];
  const sockets = new Set<Socket>();
  let served: Socket | undefined;
  const serveNext = () => {
    if (served && !served.closed) return;
    served = waiting.shift();
    if (!served) return;
    const answer = 'HTTP/1.1 200 OK\r\nContent-Length: 2\r\nKeep-Alive: timeout=600\r\n\r\nok';
    served.on('data', () => served?.write(answer)).resume();
    served.once('close', serveNext);
  };
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    waiting.push(socket);
    serveNext();
  });
  return listen(t, server, sockets);
}

t.test(
  'an app that serves one connection at a time comes to a request though another client has an idle one',
  // The idle one would be kept for a minute.
  { timeout: 50_000 },
  async (t) => {
    const relay = await startRelay(t, { upstreamPort: await startOneAtATime(t) });
    const agent = new Agent({ keepAlive: true });
    t.teardown(() => agent.destroy());
    const body = Buffer.from('x');
    t.match(await ask(relay.port, 'a', '/', { method: 'POST', body, agent }), { status: 200 });
    t.match(await ask(relay.port, 'a', '/'), { status: 200 });
  },
);

t.test('an app that serves one connection at a time, and keeps it, starves nobody under steady traffic', async (t) => {
  const relay = await startRelay(t, { upstreamPort: await startOneAtATime(t) });
  const over = new AbortController();
  const steady = (async () => {
    while (!over.signal.aborted) {
      await ask(relay.port, 'a', '/steady');
      await sleep(5);
    }
  })();
  await sleep(50);
  const answers = await Promise.all(Array.from({ length: 6 }, () => ask(relay.port, 'a', '/late')));
  t.same(
    answers.map(({ status }) => status),
    answers.map(() => 200),
  );
  over.abort();
  await steady;
});
