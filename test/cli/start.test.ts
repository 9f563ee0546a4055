import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { appYaml, makeFiles, mainYaml } from '../config/files.js';
import { follow, run } from './run.js';

const script = fileURLToPath(new URL('start-fake-daemon.js', import.meta.url));
const root = fileURLToPath(new URL('../../../', import.meta.url));

async function started(t: Test, mood = '', env: Record<string, string> = {}) {
  const files = await makeFiles({ 'main.yaml': mainYaml, 'apps/a.yaml': appYaml('a') });
  const running = follow([script, files.main, mood], env);
  t.teardown(async () => {
    running.child.kill('SIGKILL');
    await running.ended;
    await files.remove();
  });
  return { files, ...running };
}

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

t.test('an error nobody caught is fatal', async (t) => {
  const { line, ended } = await started(t, 'throws');
  t.match(await line('an error nobody caught'), { level: 'fatal', err: { message: 'nobody catches me' } });
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

t.test('a changed file is handed to the daemon, a bad one holds its app alone, SIGHUP always answers', async (t) => {
  const { files, line, child, ended } = await started(t);
  await line('listening');
  await files.write('apps/a.yaml', appYaml('a', 'idleTtl: 5m\n'));
  t.match(await line('fake reloads'), { changes: ['app a: idleTtl 20m -> 5m'] });
  t.match(await line('configuration reloaded: app a: idleTtl 20m -> 5m'), { level: 'info' });
  await files.write('apps/a.yaml', appYaml('a', 'idleTtl: x\n'));
  t.match(await line('fake reloads'), { changes: ['app a held: its file is wrong, what it said last stays'] });
  t.match(await line('app files are wrong; what they said last stays in force, all others are applied'), {
    level: 'error',
    problems: [{ file: files.path('apps/a.yaml'), line: 5, path: 'idleTtl' }],
  });
  child.kill('SIGHUP');
  await line('app files are wrong');
  await files.write('apps/a.yaml', appYaml('a', 'idleTtl: 5m\n'));
  await line('sound again');
  child.kill('SIGHUP');
  await line('SIGHUP: the configuration has not changed');
  child.kill('SIGTERM');
  t.equal(await ended, 0);
});

t.test('a bad main file keeps the old configuration as a whole', async (t) => {
  const { files, line, child, ended } = await started(t);
  await line('listening');
  await files.write('main.yaml', 'workers: x\n');
  t.match(await line('configuration not reloaded, the old one stays in force'), {
    level: 'error',
    problems: [{ file: files.main, line: 1, path: 'workers' }],
  });
  child.kill('SIGTERM');
  t.equal(await ended, 0);
});

t.test('a start with a broken app file serves the others and says so', async (t) => {
  const files = await makeFiles({ 'main.yaml': mainYaml, 'apps/a.yaml': appYaml('a'), 'apps/b.yaml': 'name: [' });
  const { line, child, ended } = follow([script, files.main, '']);
  t.teardown(async () => {
    child.kill('SIGKILL');
    await ended;
    await files.remove();
  });
  t.match(await line('listening'), { apps: 1 });
  t.match(await line('app files are wrong'), { level: 'error', problems: [{ file: files.path('apps/b.yaml') }] });
  child.kill('SIGTERM');
  t.equal(await ended, 0);
});

t.test('the log level changes with the file', async (t) => {
  const { files, line } = await started(t);
  await line('listening');
  await files.write('main.yaml', `${mainYaml}log: { level: debug }\n`);
  t.match(await line('configuration reloaded'), { changes: ['log.level info -> debug'] });
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
