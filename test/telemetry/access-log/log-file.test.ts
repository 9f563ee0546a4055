import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rename, rm, stat, symlink, unlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { LogFile, type LogFileOptions } from '../../../src/telemetry/access-log/log-file.js';
import { VirtualClock } from '../../fixtures/clock.js';

async function logFile(t: Test, options: Partial<LogFileOptions> = {}) {
  const dir = await mkdtemp(join(tmpdir(), 'fastcontainer-access-'));
  t.teardown(() => rm(dir, { recursive: true, force: true }));
  const path = join(dir, 'access.log');
  const told = { dropped: 0, errors: [] as string[] };
  const clock = new VirtualClock();
  const log = new LogFile({
    path,
    clock,
    onDropped: (lines) => (told.dropped += lines),
    onError: ({ message }) => told.errors.push(message),
    ...options,
  });
  t.teardown(() => log.close());
  return { log, path, told, clock };
}

t.test('lines come in order, into a file that strangers cannot read', async (t) => {
  const { log, path, told } = await logFile(t);
  const lines = Array.from({ length: 1_000 }, (_, index) => `line ${index}\n`);
  for (const line of lines) log.write(line);
  await log.close();
  t.equal(await readFile(path, 'utf8'), lines.join(''));
  t.equal((await stat(path)).mode & 0o007, 0);
  t.same(told, { dropped: 0, errors: [] });
});

t.test('a file that logrotate moved or removed is followed by a new one without a signal', async (t) => {
  const { log, path, clock, told } = await logFile(t);
  const written = async (line: string) => {
    log.write(line);
    await log.settled();
  };
  await written('one\n');
  await rename(path, `${path}.1`);
  await written('still\n');
  await clock.advance(1_000);
  await written('two\n');
  t.equal(await readFile(`${path}.1`, 'utf8'), 'one\nstill\n');
  t.equal(await readFile(path, 'utf8'), 'two\n');
  await unlink(path);
  await clock.advance(1_000);
  await written('three\n');
  t.equal(await readFile(path, 'utf8'), 'three\n');
  await writeFile(path, '');
  await written('four\n');
  t.equal(await readFile(path, 'utf8'), 'four\n', 'as copytruncate leaves it');
  t.same(told, { dropped: 0, errors: [] });
});

t.test('what a full disk refuses is counted, and nobody waits for it', async (t) => {
  const { log, told } = await logFile(t, { path: '/dev/full' });
  for (let index = 0; index < 10; index += 1) log.write('lost\n');
  await log.settled();
  t.equal(told.dropped, 10);
  t.match(told.errors, [/ENOSPC/]);
});

t.test('what a slow disk cannot take is bounded and counted', async (t) => {
  const { log, path, told } = await logFile(t, { mostWaiting: 100 });
  for (let index = 0; index < 30; index += 1) log.write('0123456789\n');
  t.equal(told.dropped, 21);
  await log.close();
  t.equal((await readFile(path, 'utf8')).length, 99);
});

t.test('no link is followed, and a pipe that nobody reads holds nothing up', async (t) => {
  const { log, path, told } = await logFile(t);
  await symlink('/tmp/elsewhere', path);
  log.write('x\n');
  await log.settled();
  t.match(told, { dropped: 1, errors: [/ELOOP/] });
  const pipe = await logFile(t);
  execFileSync('mkfifo', [pipe.path]);
  pipe.log.write('x\n');
  await pipe.log.settled();
  t.match(pipe.told, { dropped: 1, errors: [/ENXIO/] });
});
