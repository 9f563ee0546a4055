import { spawn } from 'node:child_process';
import { once } from 'node:events';
import t from 'tap';
import { childrenOf, statOf } from '../../src/machine/proc-fs.js';
import { appYaml, makeFiles, mainYaml } from '../config/files.js';
import { eventually } from '../fixtures/eventually.js';
import { follow, run } from './run.js';
import { root, script, started } from './started.js';

t.test('start says where it listens, and SIGTERM drains and exits with 0', async (t) => {
  const { line, child, ended } = await started(t);
  t.match(await line('fake starts'), { stopApps: false });
  t.match(await line('listening'), {
    level: 'info',
    http: ['http://127.0.0.1:8080'],
    admin: 'http://127.0.0.1:8081',
    apps: 1,
  });
  child.kill('SIGTERM');
  t.match(await line('SIGTERM: draining'), {});
  await line('fake closes');
  t.equal(await ended, 0);
});

t.test('a terminal that is closed ends what runs in front of it', async (t) => {
  const files = await makeFiles({ 'main.yaml': mainYaml, 'apps/a.yaml': appYaml('a') });
  t.teardown(() => files.remove());
  // util-linux: runs a command on a terminal of its own, which is gone with it.
  const terminal = spawn('script', ['-qfc', `exec '${process.execPath}' '${script}' '${files.main}'`, '/dev/null'], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  t.teardown(() => terminal.kill('SIGKILL'));
  let shown = '';
  terminal.stdout.on('data', (piece) => (shown += String(piece)));
  await eventually(() => shown.includes('listening'));
  const [daemon = 0] = await childrenOf(terminal.pid ?? 0);
  t.ok(statOf(daemon));
  terminal.kill('SIGKILL');
  await eventually(() => !statOf(daemon));
});

t.test('what runs on is said last', async (t) => {
  const { line, child, ended } = await started(t);
  await line('listening');
  child.kill('SIGTERM');
  await line('containers that ran are left running');
  t.equal(await ended, 0);
});

t.test('how many containers run on, and of which apps, is said last', async (t) => {
  const { line, child, ended } = await started(t, 'leaves');
  await line('listening');
  child.kill('SIGTERM');
  t.match(await line('3 containers are left running (apps a, b): the next start finds them'), { containers: 3 });
  t.equal(await ended, 0);
});

t.test('Ctrl-C in a terminal drains', async (t) => {
  const files = await makeFiles({ 'main.yaml': mainYaml, 'apps/a.yaml': appYaml('a') });
  t.teardown(() => files.remove());
  const terminal = spawn('script', ['-qefc', `exec '${process.execPath}' '${script}' '${files.main}'`, '/dev/null'], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  t.teardown(() => terminal.kill('SIGKILL'));
  let shown = '';
  terminal.stdout.on('data', (piece) => (shown += String(piece)));
  await eventually(() => shown.includes('listening'));
  // What the terminal makes of it is SIGINT to all that runs in its foreground.
  terminal.stdin.write('\x03');
  const [code] = (await once(terminal, 'exit')) as [number];
  t.match(shown, /SIGINT: draining[^]*fake closes[^]*left running/);
  t.equal(code, 0);
});

t.test('SIGINT drains as well, and --stop-apps is handed on', async (t) => {
  const { line, child, ended } = await started(t, 'stop-apps');
  t.match(await line('fake starts'), { stopApps: true });
  await line('listening');
  child.kill('SIGINT');
  t.equal(await ended, 0);
});

t.test('a second signal ends at once with 1', async (t) => {
  const { line, child, ended } = await started(t, 'stuck');
  await line('listening');
  child.kill('SIGTERM');
  await line('fake closes');
  child.kill('SIGTERM');
  await line('second SIGTERM: ending at once');
  await line('fake is destroyed');
  t.equal(await ended, 1);
});

t.test('an uncaught error is fatal', async (t) => {
  const { line, ended } = await started(t, 'throws');
  t.match(await line('uncaught error'), { level: 'fatal', err: { message: 'nobody catches me' } });
  await line('fake is destroyed');
  t.equal(await ended, 1);
});

t.test('a port in use is explained', async (t) => {
  const { line, ended } = await started(t, 'taken');
  const { msg } = await line('cannot listen');
  t.match(
    msg,
    /^cannot listen on 127\.0\.0\.1:\d+: it is in use; stop what listens there \(find it with: ss -ltnp 'sport = :\d+'\) or change listen\.http$/,
  );
  await line('fake is destroyed');
  t.equal(await ended, 1);
});

t.test('another failure is told as it is', async (t) => {
  const { line, ended } = await started(t, 'broken');
  t.match(await line('cannot start: the moon is full'), { level: 'fatal' });
  t.equal(await ended, 1);
});

t.test('a bad configuration is printed line by line, and exits with 1', async (t) => {
  const files = await makeFiles({ 'main.yaml': 'workers: 2\nlistn: x\n' });
  t.teardown(files.remove);
  const { code, stdout, stderr } = await run([script, files.main]);
  t.equal(code, 1);
  t.equal(stdout, '');
  t.equal(stderr, `${files.main}:2 listn: unknown key; did you mean listen?\n`);
});

t.test('the example names the line to try', async (t) => {
  const running = follow([script, `${root}config/fastcontainer.yaml`]);
  t.teardown(() => running.child.kill('SIGKILL'));
  t.match(await running.line('try: '), { msg: "try: curl -H 'Host: hello.localhost' http://127.0.0.1:8080/" });
  running.child.kill('SIGTERM');
  t.equal(await running.ended, 0);
});
