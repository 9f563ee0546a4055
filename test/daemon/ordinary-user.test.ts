import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, mkdirSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t, { type Test } from 'tap';
import { allProcesses } from '../../src/machine/proc-fs.js';
import { hierarchiesOf } from '../../src/runtime/kept/control-groups.js';
import { install, type Installation, spawnCommand, until } from '../fixtures/daemon.js';
import { asOrdinaryUser, giveAway, needsOrdinaryUser, ordinaryUid } from '../fixtures/ordinary-user.js';
import { ask } from '../fixtures/request.js';

const needsRoot = { skip: needsOrdinaryUser };
const code = `
  const { readFileSync } = require('fs');
  const { execSync } = require('child_process');
  require('http')
    .createServer((req, res) => {
      if (req.url === '/run') execSync(process.env.RUN);
      if (req.url === '/die') process.kill(process.pid, 'SIGKILL');
      res.end(readFileSync(req.url === '/cgroup' ? '/proc/self/cgroup' : '/proc/self/status'));
    })
    .listen(process.env.PORT, process.env.HOST);`;
const app = { command: [process.execPath, '-e', code], cwd: '/', user: 'auto', stopTimeout: '60s' };
const start = ['dist/src/main.js', 'start', '--stop-apps', '--config'];

/** An installation that belongs to the ordinary user as a whole; its app runs a command when it is asked to. */
async function installation(t: Test, { run = 'true', pidNamespace = true } = {}): Promise<Installation> {
  const installed = await install(t, {}, { hello: { ...app, env: { RUN: run } } });
  const text = await readFile(installed.file, 'utf8');
  await writeFile(installed.file, text.replace('pidNamespace: false', `pidNamespace: ${pidNamespace}`));
  await giveAway(installed.dir);
  return installed;
}

/** A daemon that `command` starts, and what its app says of itself. Ended with its apps. */
async function statusUnder(t: Test, command: readonly string[], { file }: Installation) {
  const [program, ...args] = [...command, process.execPath, ...start, file];
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
  const [program, ...args] = [...command, process.execPath, 'dist/src/main.js', 'check', '--config', installed.file];
  await t.rejects(promisify(execFile)(program, args), { code: 1, stderr: /capabilities \(ambient 0x440/ });
});

t.test('check passes as an ordinary user, and names what it cannot confine', needsRoot, async (t) => {
  const { file, dir } = await installation(t);
  const before = await readdir(dir);
  const [program, ...args] = [...asOrdinaryUser(), process.execPath, 'dist/src/main.js', 'check', '--config', file];
  const { stdout, stderr } = await promisify(execFile)(program, args);
  t.match(stdout, /^ok: /);
  t.match(stderr, /the daemon is not root, so all apps run as its own user \(31003\)/);
  t.same(await readdir(dir), before, 'and creates nothing');
});

/** A command that starts `sleep` in a session of its own, without parents, and is over. */
function escape(seconds: string, clears: boolean): string {
  return `(setsid ${clears ? 'env -i' : ''} sleep ${seconds} >/dev/null 2>&1 </dev/null &)`;
}

/** Which of the ordinary user's processes run `sleep` for so long. */
async function sleepers(seconds: string): Promise<number[]> {
  const pids = (await allProcesses()).map(({ pid }) => pid);
  return pids.filter((pid) => {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'latin1') === `sleep\0${seconds}\0`;
    } catch {
      return false;
    }
  });
}

/** A length that no other test sleeps. */
function seconds(): string {
  return `1000.${process.pid}${Math.random().toString().slice(2, 8)}`;
}

async function running(t: Test, command: readonly string[], { file }: Installation) {
  const [program, ...args] = [...command, process.execPath, ...start, file];
  const spawned = await spawnCommand(t, program, ...args);
  const ask_ = (path: string) => ask(spawned.port, 'hello.localhost', path);
  const close = async () => {
    spawned.child.kill('SIGTERM');
    await once(spawned.child, 'exit');
  };
  return { ...spawned, ask: ask_, close };
}

/** Why no pid namespace can be had. */
async function needsNamespace(): Promise<string | false> {
  if (needsOrdinaryUser !== false) return needsOrdinaryUser;
  const [program = '', ...args] = asOrdinaryUser();
  const make = ['unshare', '--user', '--map-current-user', '--pid', '--fork', '--mount-proc', 'true'];
  return promisify(execFile)(program, [...args, ...make]).then(
    () => false,
    () => 'this machine lets ordinary users make no namespaces',
  );
}
const needsNamespaces = { skip: await needsNamespace() };

t.test(
  'without a control group, what left its session and cleared its environment ends with its instance',
  needsNamespaces,
  async (t) => {
    const asleep = seconds();
    const installed = await installation(t, { run: escape(asleep, true) });
    const { ask, close, log } = await running(t, asOrdinaryUser(), installed);
    const own = /^Pid:\s*(\d+)$/m.exec((await ask('/run')).body)?.[1];
    t.ok(Number(own) < 10, `it has a namespace of its own, in which it is ${own}`);
    await until(async () => (await sleepers(asleep)).length === 1 || undefined);
    await ask('/die');
    await until(async () => (await sleepers(asleep)).length === 0 || undefined);
    await until(() => log.find(({ cause }) => cause === 'signal SIGKILL'));
    await until(async () => (await ask('/run')).status === 200 || undefined);
    await until(async () => (await sleepers(asleep)).length === 1 || undefined);
    await close();
    t.same(await sleepers(asleep), []);
  },
);

t.test('without a control group and a pid namespace, what is marked ends with its instance', needsRoot, async (t) => {
  const asleep = seconds();
  const installed = await installation(t, { run: escape(asleep, false), pidNamespace: false });
  const { ask, close } = await running(t, asOrdinaryUser(), installed);
  await ask('/run');
  await until(async () => (await sleepers(asleep)).length === 1 || undefined);
  await close();
  t.same(await sleepers(asleep), []);
  const check = [...asOrdinaryUser(), process.execPath, 'dist/src/main.js', 'check', '--config', installed.file];
  const [program = '', ...args] = check;
  const { stderr } = await promisify(execFile)(program, args);
  t.match(stderr, /clears its environment outlives its instance; remove runtimes.process.pidNamespace: false/);
});

t.test(
  'with a control group that was given to the daemon, an app that leaves it ends with its instance',
  needsNamespaces,
  async (t) => {
    const hierarchy = hierarchiesOf(
      readFileSync('/proc/self/mountinfo', 'utf8'),
      readFileSync('/proc/self/cgroup', 'utf8'),
    );
    const mount = hierarchy.find(({ version }) => version === 2)?.mountPoint;
    if (mount === undefined) {
      t.plan(0, 'skipped: there are no control groups of version 2');
      return;
    }
    const given = join(mount, `fastcontainer-test-${process.pid}`);
    const own = join(given, 'daemon');
    mkdirSync(own, { recursive: true });
    t.teardown(() => {
      rmdirSync(own);
      rmdirSync(given);
    });
    for (const group of [given, own]) {
      for (const file of ['', 'cgroup.procs', 'cgroup.subtree_control'])
        chownSync(join(group, file), ordinaryUid, ordinaryUid);
    }
    const asleep = seconds();
    // It goes over to the group of the daemon.
    const leave = `(setsid env -i sh -c 'echo 0 >${own}/cgroup.procs && exec sleep ${asleep}' >/dev/null 2>&1 </dev/null &)`;
    const enter = ['sh', '-c', 'echo 0 >"$1/cgroup.procs" && shift && exec "$@"', 'sh', own];
    const { ask, close } = await running(t, [...enter, ...asOrdinaryUser()], await installation(t, { run: leave }));
    t.match(
      (await ask('/cgroup')).body,
      new RegExp(`^0::/fastcontainer-test-${process.pid}/fastcontainer-\\w+/hello-`, 'm'),
    );
    await ask('/run');
    const [pid] = await until(async () => {
      const found = await sleepers(asleep);
      return found.length === 1 ? found : undefined;
    });
    t.match(
      readFileSync(`/proc/${pid}/cgroup`, 'utf8'),
      new RegExp(`^0::/fastcontainer-test-${process.pid}/daemon$`, 'm'),
    );
    await close();
    t.same(await sleepers(asleep), []);
    t.same(
      readdirSync(given, { withFileTypes: true }).flatMap((entry) => (entry.isDirectory() ? [entry.name] : [])),
      ['daemon'],
    );
  },
);

t.test('so it does under root if there is no control group to write to', needsRoot, async (t) => {
  const asleep = seconds();
  const installed = await install(t, {}, { hello: { ...app, env: { RUN: escape(asleep, true) } } });
  const text = await readFile(installed.file, 'utf8');
  await writeFile(installed.file, text.replace('pidNamespace: false', 'pidNamespace: true'));
  const hide = 'mount -t tmpfs tmpfs /sys/fs/cgroup && exec "$@"';
  const { ask, close, log } = await running(t, ['unshare', '--mount', 'sh', '-c', hide, 'sh'], installed);
  const { body } = await ask('/run');
  t.match(body, /^Pid:\s*\d$/m, 'it has a namespace of its own');
  t.match(body, /^Uid:\t(19\d{8})\t\1\t\1\t\1$/m, 'and a user of its own');
  t.match(body, /^CapBnd:\t0+$/m);
  await until(async () => (await sleepers(asleep)).length === 1 || undefined);
  await ask('/die');
  await until(async () => (await sleepers(asleep)).length === 0 || undefined);
  await until(() => log.find(({ cause }) => cause === 'signal SIGKILL'));
  await close();
});
