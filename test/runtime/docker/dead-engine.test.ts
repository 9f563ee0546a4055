import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { dockerWarnings, openDockerRuntime } from '../../../src/runtime/docker.js';
import { systemClock } from '../../../src/machine/system-clock.js';
import { useDocker } from '../../fixtures/docker.js';
import { eventually } from '../../fixtures/eventually.js';
import { bootApp, dockerApp } from './open-runtime.js';

const common = { network: 'fastcontainer', clock: systemClock };

function open(t: Test, address: Parameters<typeof dockerWarnings>[0] | { socketPath: string }) {
  const log: string[] = [];
  const logger = pino({}, { write: (line: string) => void log.push(JSON.parse(line).msg) });
  const runtime = openDockerRuntime({ ...common, ...address, cmdbName: 'test', installation: 'test', logger });
  t.teardown(() => runtime.close());
  return { runtime, log };
}

function folder(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'fastcontainer-dead-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

t.test('where no engine is, every call fails at once and names the socket and what to do', async (t) => {
  const socketPath = join(folder(t), 'docker.sock');
  const { runtime, log } = open(t, { socketPath });
  const expected = { message: new RegExp(`${socketPath} does not exist; start it \\(systemctl start docker\\)`) };
  await t.rejects(bootApp(runtime, dockerApp({ image: 'hello:1' })), expected);
  await t.rejects(runtime.list(), expected);
  await t.rejects(runtime.inspect('some-id'), expected);
  await t.rejects(runtime.stop('some-id', 1_000), expected);
  await t.rejects(runtime.output('some-id', 1_000), expected);
  runtime.watch(() => undefined);
  await eventually(() => log.length > 0);
  t.match(log, [expected.message]);
  await t.rejects(dockerWarnings({ ...common, socketPath }), expected);
});

t.test('a socket that nobody listens on, a plain file and a folder are told apart', async (t) => {
  const path = folder(t);
  const socketPath = join(path, 'docker.sock');
  writeFileSync(socketPath, '');
  await t.rejects(dockerWarnings({ ...common, socketPath }), /docker\.sock/);
  await t.rejects(dockerWarnings({ ...common, socketPath: path }), /fastcontainer-dead-/);
  const remote = { ...common, host: '127.0.0.1', port: 1 };
  await t.rejects(dockerWarnings(remote), /nothing answers at tcp:\/\/127\.0\.0\.1:1; start it/);
});

t.test('an engine that takes a call and never answers fails the call by its time limit', async (t) => {
  const server = createServer(() => undefined);
  const socketPath = join(folder(t), 'docker.sock');
  await new Promise<void>((resolve) => void server.listen(socketPath, resolve));
  t.teardown(() => server.close());
  const { runtime } = open(t, { socketPath });
  await t.rejects(runtime.inspect('some-id'), { message: /did not answer within 5 s; it hangs or is overloaded/ });
});

t.test('answers that make no sense become errors, not crashes', async (t) => {
  let body = '';
  let status = 200;
  const server = createHttpServer((_, response) => response.writeHead(status).end(body));
  const socketPath = join(folder(t), 'docker.sock');
  await new Promise<void>((resolve) => void server.listen(socketPath, resolve));
  t.teardown(() => server.close());
  const { runtime } = open(t, { socketPath });
  for (body of [
    '',
    'null',
    '{}',
    '"text"',
    '{"message":',
    '<html>\u0007',
    '[null]',
    '[{"Labels":[]}]',
    '{"Containers":7}',
  ]) {
    for (status of [200, 500]) {
      const results = await Promise.allSettled([
        runtime.list(),
        runtime.inspect('some-id'),
        runtime.output('some-id', 100),
        runtime.stop('some-id', 10),
        bootApp(runtime, dockerApp({ image: 'hello:1' }), AbortSignal.timeout(300)),
      ]);
      if (status === 500)
        t.ok(
          results.every((result) => result.status === 'rejected'),
          `500 ${body}`,
        );
      else t.equal(results[4]?.status, 'rejected', `200 ${body}`);
    }
  }
});

t.test(
  'an answer without an end is given up at its limit of bytes, a line without an end of the event stream too',
  async (t) => {
    const chunk = 'x'.repeat(1024 * 1024);
    const server = createHttpServer((_, response) => {
      response.writeHead(200);
      const more = () => void (response.destroyed || response.write(chunk, more));
      more();
    });
    const socketPath = join(folder(t), 'docker.sock');
    await new Promise<void>((resolve) => void server.listen(socketPath, resolve));
    t.teardown(() => server.close());
    const { runtime, log } = open(t, { socketPath });
    await t.rejects(runtime.inspect('some-id'), { message: /its reply is larger than 16777216 bytes/ });
    runtime.watch(() => undefined);
    await eventually(() => log.length > 0);
    t.match(log, [/sent a line of more than 1 MiB/]);
  },
);

t.test('a missing TLS file is named when the runtime is opened', async (t) => {
  const tls = { ca: '/no/such/ca.pem' };
  t.throws(() => open(t, { ...common, host: '127.0.0.1', tls }), {
    message: /runtimes\.docker\.caFile: cannot read \/no\/such\/ca\.pem/,
  });
});

t.test(
  'a host that could run the docker runtime gives no warnings, a network that is shared is refused or warned of',
  async (t) => {
    const engine = await useDocker(t);
    if (!engine) return;
    const { socketPath } = engine;
    const warnings = async (options: object) =>
      (await dockerWarnings({ ...common, socketPath, ...options })).filter((line) => !/cannot bound what/.test(line));
    t.same(await warnings({ network: 'not-made-yet' }), []);
    await engine.docker.createNetwork({ Name: 'open-network' });
    t.teardown(() => engine.docker.getNetwork('open-network').remove());
    const bad = { ...common, network: 'open-network', socketPath };
    await t.rejects(dockerWarnings(bad), /lets containers connect to each other .*allowSharedNetwork: true/);
    t.match(await warnings({ ...bad, allowSharedNetwork: true }), [
      /lets containers connect to each other/,
      engine.init === undefined ? /.*/ : /containers can reach services of .*network namespace[^]*-A FC-br-/,
    ]);
    await t.rejects(dockerWarnings({ ...common, socketPath, subnet: '10.0.0.0' }), /runtimes\.docker\.subnet/);
  },
);
