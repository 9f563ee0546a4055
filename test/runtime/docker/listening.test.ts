import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import t, { type Test } from 'tap';
import { ownListening } from '../../../src/runtime/docker/listening.js';

async function listen(t: Test): Promise<{ host: string; port: number }> {
  const server = createServer((socket) => socket.destroy()).listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const { port } = server.address() as { port: number };
  return { host: '127.0.0.1', port };
}

/** Its backlog is full and nobody accepts: the kernel answers nothing, as on a host that is too busy. */
async function silent(t: Test): Promise<{ host: string; port: number }> {
  const program =
    "import socket,sys; s=socket.socket(); s.bind(('127.0.0.1',0)); s.listen(0); print(s.getsockname()[1],flush=True); sys.stdin.read()";
  const child = spawn('python3', ['-c', program], { stdio: ['pipe', 'pipe', 'inherit'] });
  t.teardown(() => child.kill('SIGKILL'));
  const [said] = (await once(child.stdout, 'data')) as [Buffer];
  const address = { host: '127.0.0.1', port: Number(String(said)) };
  const sockets = Array.from({ length: 4 }, () => connect(address).on('error', () => {}));
  t.teardown(() => sockets.forEach((socket) => socket.destroy()));
  await once(sockets[0] as (typeof sockets)[number], 'connect');
  return address;
}

t.test('one that answers late does not end the look at all that come after it', async (t) => {
  const listening = ownListening(false);
  const [open, busy] = [await listen(t), await silent(t)];
  t.equal(await listening.at(open), true);
  for (let round = 0; round < 4; round += 1) t.equal(await listening.at(busy), false, 'to be asked again');
  t.equal(await listening.at(open), true);
  t.equal(await listening.at({ ...open, port: 1 }), false);
});

t.test('where nothing ever answers nobody is asked any more', async (t) => {
  const listening = ownListening(false);
  const busy = await silent(t);
  t.equal(await listening.at(busy), false);
  t.equal(await listening.at(busy), false);
  t.equal(await listening.at(busy), undefined);
  t.equal(await listening.at(await listen(t)), undefined);
});

t.test('an engine on another machine is not asked', async (t) => {
  t.equal(await ownListening(true).at(await listen(t)), undefined);
});
