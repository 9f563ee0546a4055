import { execFile, execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';

t.test('systemd finds nothing wrong with the shipped unit', async (t) => {
  try {
    execFileSync('systemd-analyze', ['--version'], { stdio: 'ignore' });
  } catch {
    t.plan(0, 'skipped: there is no systemd-analyze on this machine');
    return;
  }
  const dir = await mkdtemp(join(tmpdir(), 'fastcontainer-unit-'));
  t.teardown(() => rm(dir, { recursive: true, force: true }));
  const unit = await readFile('examples/systemd/fastcontainer.service', 'utf8');
  const file = join(dir, 'fastcontainer.service');
  // It looks whether the program is there.
  await writeFile(file, unit.replaceAll('/usr/bin/fastcontainer', process.execPath));
  const { stdout, stderr } = await promisify(execFile)('systemd-analyze', ['verify', '--man=no', file]);
  const ours = (stdout + stderr).split('\n').filter((line) => line.includes('fastcontainer'));
  t.same(ours, [], 'no warning about a key or a value');
});
