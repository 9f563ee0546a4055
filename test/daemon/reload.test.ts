import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { loadConfig } from '../../src/config/load-config.js';
import { install, killAfter, spawnDaemon, startDaemon, until } from '../fixtures/daemon.js';
import { portRange } from '../fixtures/port-range.js';
import { ask, askIdentity } from '../fixtures/request.js';

t.test('a file that an editor replaces is applied, with a log line of what changed', async (t) => {
  const installation = await install(t);
  const { port, log } = await spawnDaemon(t, installation, '--stop-apps');
  const { pid } = await askIdentity(port, 'hello.localhost');
  killAfter(t, pid);
  const path = join(installation.dir, 'apps', 'hello.yaml');
  await writeFile(`${path}.swp`, (await readFile(path, 'utf8')).replace('idleTtl: 10m', 'idleTtl: 2m'));
  await rename(`${path}.swp`, path);
  const line = await until(() => log.find(({ msg }) => String(msg).startsWith('configuration reloaded')));
  t.match(line, { msg: /app hello: idleTtl 10m -> 2m/ });
});

t.test('a bad file keeps what it said last and says why, and a mended one is taken on SIGHUP', async (t) => {
  const installation = await install(t);
  const { child, port, log } = await spawnDaemon(t, installation, '--stop-apps');
  await installation.writeApp('hello', { idleTTL: '5m' });
  const error = await until(() => log.find(({ msg }) => /app files are wrong/.test(String(msg))));
  t.match(error, { msg: /hello\.yaml:\d+ .*idleTTL/ });
  const { pid } = await askIdentity(port, 'hello.localhost');
  killAfter(t, pid);
  await installation.writeApp('hello', { domains: ['hello.localhost', 'other.localhost'] });
  child.kill('SIGHUP');
  await until(async () => (await ask(port, 'other.localhost')).status === 200);
});

t.test('a domain that two apps claim is refused with the names of both', async (t) => {
  const installation = await install(t);
  const { log } = await spawnDaemon(t, installation);
  await installation.writeApp('thief', { domains: ['hello.localhost'] });
  const error = await until(() => log.find(({ msg }) => /app files are wrong/.test(String(msg))));
  t.match(String(error['msg']), /hello\.localhost/);
  t.match(JSON.stringify(error), /thief\.yaml/);
  t.match(JSON.stringify(error), /hello\.yaml/);
});

t.test('a configuration that cannot be run leaves the daemon with the apps that it had', async (t) => {
  const { from, to } = portRange(t);
  const docker = { host: 'tcp://127.0.0.1:1', caFile: './missing.pem' };
  const processes = { ports: `${from}-${to}`, scratchDir: './scratch', pidNamespace: false };
  const installation = await install(t, { runtimes: { process: processes, docker } });
  const { daemon, log } = await startDaemon(t, installation);
  const boxed = { runtime: 'docker', image: 'web:1', command: undefined, user: undefined };
  await installation.writeApp('hello', { ...boxed, drainTimeout: '2m' });
  const next = await loadConfig(installation.file, process.env);
  await t.rejects(daemon.reload(next), { message: /caFile/ });
  await daemon.close();
  t.match(
    log.find(({ msg }) => msg === 'draining'),
    { drainMs: 30_000 },
  );
});
