import { execFile, execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { install, isAlive, spawnCommand, until } from '../fixtures/daemon.js';
import { ask } from '../fixtures/request.js';

const unitFile = 'examples/systemd/fastcontainer.service';

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

t.test('the shipped unit exposes little', async (t) => {
  try {
    execFileSync('systemd-analyze', ['--version'], { stdio: 'ignore' });
  } catch {
    t.plan(0, 'skipped: there is no systemd-analyze on this machine');
    return;
  }
  // It ends with 1 for what it finds, however little that is.
  const report = await promisify(execFile)('systemd-analyze', [
    'security',
    '--offline=true',
    '--no-pager',
    unitFile,
  ]).catch((error: { stdout: string }) => error);
  const exposure = Number(/exposure level .*: ([\d.]+)/.exec(report.stdout)?.[1]);
  t.ok(exposure <= 4.5, `exposure ${exposure}`);
  t.notMatch(await readFile(unitFile, 'utf8'), /TasksMax=infinity/);
});

t.test('with the capabilities of the unit, apps are booted under their users and ended', async (t) => {
  if (process.getuid?.() !== 0) {
    t.plan(0, 'skipped: only root can become other users');
    return;
  }
  const unit = await readFile(unitFile, 'utf8');
  const capabilities = /^CapabilityBoundingSet=(.*)$/m.exec(unit)?.[1]?.split(' ') ?? [];
  t.ok(capabilities.length > 3);
  const kept = capabilities.map((name) => `+${name.replace('CAP_', '').toLowerCase()}`);
  const code =
    "require('http').createServer((_, res) => res.end(String(process.pid))).listen(process.env.PORT, process.env.HOST)";
  const app = { command: [process.execPath, '-e', code], cwd: '/', idleTtl: '500ms' };
  const apps = { own: { ...app, user: 'auto' }, fixed: { ...app, user: '3127:3128' } };
  const installation = await install(t, {}, apps);
  const bounded = ['setpriv', `--bounding-set=-all,${kept.join(',')}`, '--inh-caps=-all', '--no-new-privs'];
  const program = [process.execPath, 'dist/src/main.js', 'start', '--stop-apps', '--config', installation.file];
  const [command = '', ...args] = [...bounded, ...program];
  const { port, child } = await spawnCommand(t, command, ...args);
  const bounding = /CapBnd:\t(\w+)/.exec(await readFile(`/proc/${child.pid}/status`, 'utf8'))?.[1];
  t.not(bounding, /CapBnd:\t(\w+)/.exec(await readFile('/proc/self/status', 'utf8'))?.[1], 'it has fewer than we');
  const users: string[] = [];
  for (const name of Object.keys(apps)) {
    const { status, body } = await ask(port, `${name}.localhost`);
    t.equal(status, 200, body);
    const pid = Number(body);
    users.push(/^Uid:\t(\d+)\t\1\t\1\t\1$/m.exec(await readFile(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '');
    await until(() => !isAlive(pid) || undefined);
  }
  t.equal(users[1], '3127');
  t.ok(Number(users[0]) > 0 && users[0] !== users[1], `user ${users[0]} of its own`);
});
