import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { install, type Installation, spawnCommand } from '../fixtures/daemon.js';
import { asOrdinaryUser, giveAway, needsOrdinaryUser, ordinaryUid } from '../fixtures/ordinary-user.js';
import { ask } from '../fixtures/request.js';

const needsRoot = { skip: needsOrdinaryUser };
const code = `
  const { readFileSync } = require('fs');
  require('http')
    .createServer((req, res) => res.end(req.url === '/pid' ? String(process.pid) : readFileSync('/proc/self/status')))
    .listen(process.env.PORT, process.env.HOST);`;
const app = { command: [process.execPath, '-e', code], cwd: '/', user: 'auto' };
const start = ['dist/src/main.js', 'start', '--stop-apps', '--config'];

/** An installation that belongs to the ordinary user as a whole. */
async function installation(t: Test): Promise<Installation> {
  const installed = await install(t, {}, { hello: app });
  await giveAway(installed.dir);
  return installed;
}

/** A daemon that `command` starts, and what its app says of itself. Ended with its apps. */
async function statusUnder(t: Test, command: readonly string[], { file }: Installation) {
  const [program = '', ...args] = [...command, process.execPath, ...start, file];
  const { child, port, log } = await spawnCommand(t, program, ...args);
  const { status, body } = await ask(port, 'hello.localhost');
  const field = (name: string) => new RegExp(`^${name}:[ \\t]*(.*)$`, 'm').exec(body)?.[1]?.trim();
  child.kill('SIGTERM');
  await once(child, 'exit');
  return { status, field, log };
}

t.test('a daemon of an ordinary user serves an app that has nothing but that user', needsRoot, async (t) => {
  const installed = await installation(t);
  const { status, field } = await statusUnder(t, asOrdinaryUser(), installed);
  t.equal(status, 200);
  const only = Array(4).fill(String(ordinaryUid)).join('\t');
  t.equal(field('Uid'), only);
  t.equal(field('Gid'), only);
  t.equal(field('Groups'), '');
  for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb']) t.equal(Number(`0x${field(set)}`), 0, set);
  t.equal(field('NoNewPrivs'), '1');
});

const capabilities = '+net_bind_service,+setgid';
const able = [`--inh-caps=${capabilities}`, `--ambient-caps=${capabilities}`];

t.test('the capabilities of a daemon of an ordinary user do not reach its apps', needsRoot, async (t) => {
  const { status, field } = await statusUnder(t, asOrdinaryUser(...able), await installation(t));
  t.equal(status, 200);
  for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapAmb']) t.equal(Number(`0x${field(set)}`), 0, set);
});

t.test('without setpriv, a daemon with capabilities starts no app and says why', needsRoot, async (t) => {
  const installed = await installation(t);
  // Another program lies over setpriv, for the daemon and what it starts alone.
  const hide =
    'cp "$(command -v setpriv)" "$1" && mount --bind /bin/true "$(command -v setpriv)" && shift && exec "$@"';
  const copy = join(installed.dir, 'setpriv');
  const become = asOrdinaryUser(...able).map((word) => (word === 'setpriv' ? copy : word));
  const command = ['unshare', '--mount', 'sh', '-c', hide, 'sh', copy, ...become];
  const { status, log } = await statusUnder(t, command, installed);
  t.equal(status, 503);
  t.match(JSON.stringify(log), /cannot run app hello: .*capabilities \(ambient 0x440.*install util-linux/);
  const [program = '', ...args] = [
    ...command,
    process.execPath,
    'dist/src/main.js',
    'check',
    '--config',
    installed.file,
  ];
  await t.rejects(promisify(execFile)(program, args), { code: 1, stderr: /capabilities \(ambient 0x440/ });
});

t.test('check passes as an ordinary user, and names what it cannot confine', needsRoot, async (t) => {
  const { file, dir } = await installation(t);
  const before = await readdir(dir);
  const [program = '', ...args] = [
    ...asOrdinaryUser(),
    process.execPath,
    'dist/src/main.js',
    'check',
    '--config',
    file,
  ];
  const { stdout, stderr } = await promisify(execFile)(program, args);
  t.match(stdout, /^ok: /);
  t.match(stderr, /the daemon is not root, so all apps run as its own user \(31003\)/);
  t.same(await readdir(dir), before, 'and creates nothing');
});
