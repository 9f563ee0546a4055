import { once } from 'node:events';
import t from 'tap';
import { childrenOf } from '../../src/machine/proc-fs.js';
import { install, isAlive, killAfter, spawnCommand, until } from '../fixtures/daemon.js';
import { askIdentity } from '../fixtures/request.js';

t.test('a daemon that npm started ends as by SIGTERM when npm is ended, and says what runs on', async (t) => {
  const installation = await install(t);
  // Without prestart, which builds.
  const command = ['start', '--silent', '--ignore-scripts', '--', '--config', installation.file];
  const { child, port, log } = await spawnCommand(t, 'npm', ...command);
  const [daemon = 0] = await childrenOf(child.pid ?? 0);
  killAfter(t, daemon);
  const { pid } = await askIdentity(port, 'hello.localhost');
  killAfter(t, pid);
  t.ok(isAlive(daemon));
  child.kill('SIGTERM');
  await once(child, 'exit');
  await until(() => !isAlive(daemon));
  await until(() => log.find(({ msg }) => String(msg).startsWith('SIGTERM: draining')));
  t.match(log.at(-1), { containers: 1, apps: ['hello'], msg: /^one container is left running \(app hello\): / });
  t.ok(isAlive(pid), 'it runs on, as without npm');
});
