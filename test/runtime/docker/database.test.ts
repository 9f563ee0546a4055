import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { useDocker } from '../../fixtures/docker.js';
import { testImage } from '../../fixtures/docker-image.js';
import { eventually } from '../../fixtures/eventually.js';
import { bootApp, dockerApp, openRuntime } from './open-runtime.js';

const client = `
  const socket = require('node:net').connect('/run/db/db.sock', () => socket.write('INCR visits\\r\\n'));
  socket.on('data', (data) => console.log('the database says ' + data));
  socket.on('error', (error) => console.log(error.code));
  setInterval(() => {}, 1e6);`;

t.test('a container without any way to the host uses its database through the socket', async (t) => {
  const engine = await useDocker(t);
  if (!engine) return;
  const folder = mkdtempSync(join(tmpdir(), 'fastcontainer-db-'));
  chmodSync(folder, 0o755);
  const path = join(folder, 'db.sock');
  const settings = ['--port', '0', '--unixsocket', path, '--unixsocketperm', '777', '--save', '', '--dir', folder];
  const database = spawn('redis-server', settings, { stdio: 'ignore' });
  t.teardown(async () => {
    const exit = once(database, 'exit');
    database.kill();
    await exit;
    rmSync(folder, { recursive: true, force: true });
  });
  await eventually(async () => existsSync(path));
  const { runtime } = openRuntime(t, engine);
  const { id } = await bootApp(
    runtime,
    dockerApp({
      image: await testImage(engine.docker, 'node'),
      command: ['node', '-e', client],
      user: '3120:3120',
      mounts: [{ source: folder, target: '/run/db', readOnly: true, shared: false }],
    }),
  );
  const output = await eventually(async () => {
    const text = await runtime.output(id, 1_000);
    return text !== '' && text;
  });
  t.match(output, /the database says :1/);
});
