import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { loadConfig } from '../../src/config/load-config.js';
import { createDaemon } from '../../src/daemon/daemon.js';
import { pino } from 'pino';
import { quick } from '../fixtures/daemon.js';
import { useDocker } from '../fixtures/docker.js';
import { testImage } from '../fixtures/docker-image.js';
import { portRange } from '../fixtures/port-range.js';
import { ask } from '../fixtures/request.js';

/** The shipped example, its app file changed by `edit`, on free ports and in a directory of its own. */
async function exampleDaemon(
  edit: (app: string) => string,
  extra: string,
): Promise<{ port: number; close(): Promise<void> }> {
  const dir = await mkdtemp(join(tmpdir(), 'fastcontainer-example-'));
  await mkdir(join(dir, 'apps'));
  await writeFile(join(dir, 'apps', 'hello.yaml'), edit(await readFile('config/apps/hello.yaml', 'utf8')));
  const main = (await readFile('config/fastcontainer.yaml', 'utf8'))
    .replace('127.0.0.1:8080', '127.0.0.1:0')
    .replace('lmdb:./data/cmdb', `{ url: "lmdb:${dir}/cmdb", name: ${dir.split('-').at(-1)?.toLowerCase()}x }`);
  await writeFile(join(dir, 'fastcontainer.yaml'), `${main}\nstateDir: ${dir}/state\n${extra}`);
  const config = await loadConfig(join(dir, 'fastcontainer.yaml'), process.env);
  const daemon = createDaemon({
    config,
    logger: pino({ level: 'silent' }),
    stopApps: true,
    version: 'test',
    timing: quick,
  });
  const { http } = await daemon.start();
  return {
    port: Number(http[0]?.split(':').at(-1)),
    async close() {
      await daemon.close();
      await rm(dir, { recursive: true, force: true });
    },
  };
}

t.test('the shipped example answers from a process', async (t) => {
  const { from, to } = portRange(t);
  const daemon = await exampleDaemon((app) => app, `runtimes: { process: { ports: ${from}-${to} } }\n`);
  t.teardown(() => daemon.close());
  t.match(await ask(daemon.port, 'hello.localhost'), { status: 200, body: /^Hello from process \d+/ });
  t.match(await ask(daemon.port, 'any.hello.localhost'), { status: 200 });
  t.match(await ask(daemon.port, 'hello.example'), { status: 404 });
});

t.test('the same example runs on Docker without its command', async (t) => {
  const engine = await useDocker(t);
  if (!engine) return;
  const { docker, socketPath } = engine;
  // No registry can be reached here: the Dockerfile's base is made on the spot, under the same name.
  await docker.tagImage(await testImage(docker, 'node'), 'node', '20.20.2-bookworm-slim');
  const context = await mkdtemp(join(tmpdir(), 'fastcontainer-build-'));
  t.teardown(() => rm(context, { recursive: true, force: true }));
  await mkdir(join(context, 'examples/hello'), { recursive: true });
  await copyFile('examples/hello/server.js', join(context, 'examples/hello/server.js'));
  const dockerfile = (await readFile('examples/hello/Dockerfile', 'utf8')).replace('USER node', 'USER 1000');
  await writeFile(join(context, 'Dockerfile'), dockerfile);
  await docker.buildImage(context, 'hello:1');
  const network = `net-${context.split('-').at(-1)}`;
  t.teardown(() =>
    docker
      .getNetwork(network)
      .remove()
      .catch(() => {}),
  );
  const daemon = await exampleDaemon(
    (app) => app.replace('runtime: process', 'runtime: docker').replace(/^command: .*\n/m, ''),
    `runtimes: { docker: { socketPath: ${socketPath}, network: ${network} } }\n`,
  );
  t.teardown(() => daemon.close());
  t.match(await ask(daemon.port, 'hello.localhost'), { status: 200, body: /^Hello from process \d+/ });
});
