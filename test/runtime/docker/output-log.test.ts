import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { pino } from 'pino';
import t from 'tap';
import { Frames } from '../../../src/runtime/docker/output-log.js';
import { useDocker } from '../../fixtures/docker.js';
import { testImage } from '../../fixtures/docker-image.js';
import { eventually } from '../../fixtures/eventually.js';
import { bootApp, dockerApp, openRuntime } from './open-runtime.js';

function recorder() {
  const log: Record<string, unknown>[] = [];
  const logger = pino({}, { write: (line: string) => void log.push(JSON.parse(line)) });
  const outputOf = (id: string) => log.filter(({ instance, msg }) => instance === id && msg === 'output');
  return { log, logger, outputOf };
}

t.test('the output of containers reaches the log', async (t) => {
  const engine = await useDocker(t);
  if (!engine) return;
  const image = await testImage(engine.docker, 'busybox');
  const shell = (script: string) => dockerApp({ image, command: ['sh', '-c', script] });

  t.test('line by line, of both streams, with app and instance, also what came before it ended', async (t) => {
    const { logger, outputOf } = recorder();
    const { runtime } = openRuntime(t, engine, { logger });
    const { id } = await bootApp(runtime, shell('echo first; echo second >&2; printf "\\033[31mred"; exit 0'));
    await eventually(() => outputOf(id).length >= 3);
    t.same(new Set(outputOf(id).map(({ output }) => output)), new Set(['first', 'second', '^[[31mred']));
    t.match(outputOf(id)[0], { app: 'shop', instance: id, level: 30 });
  });

  t.test('within a budget, which costs the others nothing', async (t) => {
    const { log, logger, outputOf } = recorder();
    const { runtime } = openRuntime(t, engine, { logger });
    const loud = await bootApp(runtime, shell('exec yes 0123456789012345678901234567890123456789'));
    await eventually(() =>
      log.some(({ instance, msg }) => instance === loud.id && /lines of output dropped/.test(String(msg))),
    );
    const quiet = await bootApp(runtime, shell('echo heard; exec sleep 600'));
    await eventually(() => outputOf(quiet.id).length === 1);
    const before = log.length;
    await eventually(() => log.filter(({ msg }) => /lines of output dropped/.test(String(msg))).length >= 2);
    t.ok(log.length - before < 1_000, 'of what would be millions of lines');
  });

  t.test('also of a container whose dispatcher is gone, once', async (t) => {
    const { logger, outputOf } = recorder();
    const { runtime, network, cmdbName } = openRuntime(t, engine, { logger });
    const program = fileURLToPath(new URL('../../fixtures/boot-in-container.js', import.meta.url));
    const options = { socketPath: engine.socketPath, network, cmdbName, installation: cmdbName };
    const app = shell('while :; do date; sleep 0.2; done');
    const child = spawn(process.execPath, [program, JSON.stringify(options), JSON.stringify(app)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    t.teardown(() => void child.kill('SIGKILL'));
    let text = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    await eventually(() => text.includes('"msg":"output"'));
    const id = (await runtime.list())[0]?.id ?? '';
    t.equal(outputOf(id).length, 0, 'while the other lives it is the one that writes it');
    const exit = once(child, 'exit');
    child.kill('SIGKILL');
    await exit;
    await runtime.list();
    await runtime.list();
    await eventually(() => outputOf(id).length >= 3);
    await runtime.stop(id, 0);
  });
});

t.test('frames are read however they are cut', async (t) => {
  const frame = (text: string) => {
    const header = Buffer.alloc(8);
    header.writeUInt32BE(text.length, 4);
    return Buffer.concat([header, Buffer.from(text)]);
  };
  const bytes = Buffer.concat([frame('hello\n'), frame(''), frame('world')]);
  for (let size = 1; size <= bytes.length; size += 1) {
    const frames = new Frames();
    let text = '';
    for (let at = 0; at < bytes.length; at += size) {
      for (const part of frames.take(bytes.subarray(at, at + size))) text += part.toString();
    }
    t.equal(text, 'hello\nworld', `${size} bytes at a time`);
  }
});
