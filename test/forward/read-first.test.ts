import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import t, { type Test } from 'tap';
import { readFirst } from '../../src/forward/read-first.js';
import { eventually } from '../fixtures/eventually.js';
import { listen } from '../fixtures/raw.js';

async function pair(t: Test): Promise<{ near: Socket; far: Socket }> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
  });
  const near = connect(await listen(t, server, sockets), '127.0.0.1');
  t.teardown(() => near.destroy());
  const [far] = (await once(server, 'connection')) as [Socket];
  readFirst(near);
  return { near, far };
}

/** Takes what there is, as undici does, until the connection fails or ends. */
async function takeAll(near: Socket): Promise<{ text: string; end: string }> {
  let text = '';
  const take = () => {
    for (let chunk = near.read() as Buffer | null; chunk !== null; chunk = near.read() as Buffer | null) {
      text += chunk.toString();
    }
  };
  const end = new Promise<string>((resolve) => {
    near.on('error', ({ code }: NodeJS.ErrnoException) => resolve(String(code)));
    near.on('end', () => resolve('end'));
  });
  near.on('readable', take);
  take();
  return { end: await end, text };
}

t.test('what came before a reset is read before the reset is told', async (t) => {
  const { near, far } = await pair(t);
  near.read(0);
  far.write('answer');
  await eventually(() => near.readableLength === 6);
  far.resetAndDestroy();
  await once(far, 'close');
  // What happens on this machine after the reset is seen after it.
  await pair(t);
  t.equal(near.destroyed, false);
  t.same(await takeAll(near), { text: 'answer', end: 'ECONNRESET' });
});

t.test('what came is read though a write fails before it', async (t) => {
  const { near, far } = await pair(t);
  near.pause();
  near.write('x'.repeat(1_000_000));
  far.write('answer', () => far.destroy());
  await once(far, 'close');
  near.write('more');
  const { text, end } = await takeAll(near);
  t.equal(text, 'answer');
  t.match(end, /^(EPIPE|ECONNRESET)$/);
});

t.test('a connection on which nothing came fails at once', async (t) => {
  const { near, far } = await pair(t);
  near.pause();
  near.write('x'.repeat(1_000_000));
  far.destroy();
  await once(far, 'close');
  near.write('more');
  t.match((await takeAll(near)).end, /^(EPIPE|ECONNRESET)$/);
});
