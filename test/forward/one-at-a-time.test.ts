import { createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { listen, ok } from '../fixtures/raw.js';
import { startRelay } from '../fixtures/relay.js';
import { ask } from '../fixtures/request.js';

t.test('an app that serves one connection at a time, and keeps it, starves nobody under steady traffic', async (t) => {
  const waiting: Socket[] = [];
  const sockets = new Set<Socket>();
  let served: Socket | undefined;
  const serveNext = () => {
    if (served && !served.closed) return;
    served = waiting.shift();
    if (!served) return;
    served.on('data', () => served?.write(ok)).resume();
    served.once('close', serveNext);
  };
  // As python's HTTPServer: what waits is connected and unread.
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    waiting.push(socket);
    serveNext();
  });
  const relay = await startRelay(t, { upstreamPort: await listen(t, server, sockets) });
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
