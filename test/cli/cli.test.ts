import { readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { appYaml, makeFiles } from '../config/files.js';
import { mainScript, run } from './run.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));

t.test('--version prints the version of the package', async (t) => {
  const { version } = JSON.parse(readFileSync(`${root}package.json`, 'utf8')) as { version: string };
  t.strictSame(await run([mainScript, '--version']), { code: 0, stdout: `${version}\n`, stderr: '' });
});

t.test('--help shows commands, examples and exit codes', async (t) => {
  const { code, stdout } = await run([mainScript, '--help']);
  t.equal(code, 0);
  for (const part of [
    'start [options]',
    'check [options]',
    'fastcontainer check --config config/fastcontainer.yaml',
    'Exit codes:',
  ]) {
    t.ok(stdout.includes(part), part);
  }
  t.match(await run([mainScript, 'start', '--help']), { code: 0, stdout: /--stop-apps/ });
});

t.test('-h, help and -c are what they are elsewhere', async (t) => {
  const long = await run([mainScript, '--help']);
  for (const args of [['-h'], ['help']]) t.strictSame(await run([mainScript, ...args]), long, args.join(' '));
  t.match(await run([mainScript, 'help', 'start']), { code: 0, stdout: /--stop-apps/ });
  const { code, stderr } = await run([mainScript, 'check', '-c', '/nowhere/main.yaml']);
  t.equal(code, 1);
  t.match(stderr, '/nowhere/main.yaml:1: does not exist');
});

t.test('check warns of app files that no pattern matches', async (t) => {
  const files = await makeFiles({
    'main.yaml': 'listen: { http: "127.0.0.1:0" }\nadmin: { listen: "127.0.0.1:0" }\n',
    'app/a.yaml': appYaml('a'),
  });
  t.teardown(files.remove);
  const { code, stdout, stderr } = await run([mainScript, 'check', '-c', 'main.yaml'], { cwd: files.directory });
  t.equal(code, 0);
  t.match(stderr, 'warning: apps: no file matches ./apps/*.yaml: there is no directory apps; did you mean app?\n');
  t.match(stdout, /^ok: main\.yaml, 0 apps, \d+ warning/);
});

const wrong: [title: string, args: string[], message: RegExp][] = [
  ['no command', [], /Usage: fastcontainer/],
  ['an unknown command', ['stat'], /unknown command 'stat'/],
  ['an unknown option', ['check', '--config', 'x', '--confg', 'y'], /unknown option '--confg'/],
  ['no file name', ['check', '--config'], /argument missing/],
  ['too many words', ['check', '--config', 'x', 'y'], /too many arguments/],
];

for (const [title, args, message] of wrong) {
  t.test(`a command line with ${title} exits with 2 and says so`, async (t) => {
    const { code, stderr } = await run([mainScript, ...args]);
    t.equal(code, 2);
    t.match(stderr, message);
  });
}

t.test('check passes the example', async (t) => {
  const { code, stdout } = await run([mainScript, 'check', '--config', 'config/fastcontainer.yaml'], { cwd: root });
  t.equal(code, 0);
  t.match(stdout, /^ok: config\/fastcontainer\.yaml, 1 app, \d warnings?\n$/);
});

t.test('check names every problem of the files with file, line and path, relative to where it runs', async (t) => {
  const files = await makeFiles({ 'main.yaml': 'workers: x\n', 'apps/a.yaml': appYaml('a', 'scale: { max: many }\n') });
  t.teardown(files.remove);
  const { code, stderr } = await run([mainScript, 'check', '--config', 'main.yaml'], { cwd: files.directory });
  t.equal(code, 1);
  t.strictSame(stderr.split('\n'), [
    'main.yaml:1 workers: must be a whole number from 1 to 1024, or auto, got "x"',
    'apps/a.yaml:5 scale.max: must be a whole number from 1 to 1000, got "many"',
    '2 problems',
    '',
  ]);
});

t.test('check names a file that does not exist', async (t) => {
  const { code, stderr } = await run([mainScript, 'check', '--config', '/nowhere/main.yaml']);
  t.equal(code, 1);
  t.match(stderr, '/nowhere/main.yaml:1: does not exist; name the main file with --config FILE');
});

t.test('check names every problem of the host', async (t) => {
  const files = await makeFiles({
    'main.yaml':
      'listen: { http: 192.0.2.1:8080 }\nadmin: { listen: unix:file/admin.sock }\ncmdb: lmdb:file/cmdb\nstateDir: file\n' +
      'runtimes: { docker: { socketPath: /nowhere/docker.sock } }\ndefaults: { user: auto }\n',
    'apps/a.yaml': appYaml('a').replace('node, server.js', 'no-such-program'),
    'apps/b.yaml': appYaml('b', 'cwd: nowhere\n'),
    'apps/c.yaml': appYaml('c', 'user: no-such-user\n'),
    'apps/d.yaml': appYaml('d').replace('node, server.js', './script.sh'),
    'apps/e.yaml':
      'name: e\ndomains: e.localhost\nruntime: docker\nimage: e\nmounts: [{ source: nowhere, target: /x }]\n',
    'script.sh': 'not executable',
    file: '',
  });
  t.teardown(files.remove);
  const { code, stderr } = await run([mainScript, 'check', '--config', 'main.yaml'], { cwd: files.directory });
  t.equal(code, 1);
  const { directory } = files;
  const found = stderr.split('\n').filter((line) => !line.startsWith('warning:'));
  t.strictSame(
    found.map((line) => line.replace(/ \(.*\)$/, '')),
    [
      'cannot listen on 192.0.2.1:8080: this machine has no such address; see `ip address` and change listen.http',
      `stateDir: ${directory}/file is not a directory`,
      `runtimes.process.stateDir: ${directory}/file is not a directory`,
      `cmdb: ${directory}/file is not a directory`,
      `admin.listen: ${directory}/file is not a directory`,
      'app a: command no-such-program is not on PATH',
      `app b: cwd ${directory}/nowhere is not there or is no directory`,
      `app d: command ${directory}/script.sh is not there or not executable`,
      `app e: mount source ${directory}/nowhere is not there`,
      "app c: there is no user 'no-such-user' on this machine; create it, or correct 'user'",
      "Docker Engine: cannot ask Docker Engine for its version: Docker Engine's socket /nowhere/docker.sock does not exist; start it (systemctl start docker) or correct runtimes.docker",
      '11 problems',
      '',
    ],
  );
});

t.test('warnings are printed and do not fail', async (t) => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.teardown(() => server.close());
  const { port } = server.address() as { port: number };
  const files = await makeFiles({
    'main.yaml': `listen: { http: 127.0.0.1:${port} }\nadmin: { listen: 127.0.0.1:0, token: 0123456789abcdef }\nruntimes: { process: { ports: 20000-20001 } }\n`,
    'apps/a.yaml': appYaml(
      'a',
      'scale: { max: 3 }\nenv: { PORT: 1 }\nmounts: [{ source: /, target: /x }]\nuser: auto\n',
    ),
  });
  t.teardown(files.remove);
  const { code, stdout, stderr } = await run([mainScript, 'check', '--config', 'main.yaml'], { cwd: files.directory });
  t.equal(code, 0, stderr);
  t.equal(stdout, 'ok: main.yaml, 1 app, 4 warnings\n');
  t.strictSame(stderr.split('\n'), [
    `warning: 127.0.0.1:${port} is in use; by a running daemon?`,
    'warning: runtimes.process.ports: 20000-20001 has fewer ports than the 3 instances that scale.max allows in all',
    'warning: app a: env.PORT is given by the daemon; the value in the file is not used',
    'warning: app a: mounts has no effect with runtime process',
    '',
  ]);
});

t.test('check creates nothing', async (t) => {
  const files = await makeFiles({
    'main.yaml': 'cmdb: lmdb:./data/cmdb\nlisten: { http: "127.0.0.1:0" }\nadmin: { listen: "127.0.0.1:0" }\n',
  });
  t.teardown(files.remove);
  t.match(await run([mainScript, 'check', '--config', 'main.yaml'], { cwd: files.directory }), { code: 0 });
  t.strictSame(await readdir(files.directory), ['main.yaml']);
});
