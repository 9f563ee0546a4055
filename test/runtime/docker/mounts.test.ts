import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Mount } from '../../../src/model/app.js';
import { mountFindings } from '../../../src/runtime/mounts/findings.js';
import { containerName } from '../../../src/runtime/docker/labels.js';
import { mountPolicy, mountsFault, nestedFault } from '../../../src/runtime/mounts/mount-policy.js';
import { sourceFault } from '../../../src/runtime/mounts/mount-source.js';
import { useDocker } from '../../fixtures/docker.js';
import { testImage } from '../../fixtures/docker-image.js';
import { eventually } from '../../fixtures/eventually.js';
import { bootApp, dockerApp, openRuntime } from './open-runtime.js';

const mount = (source: string, readOnly = false): Mount => ({ source, target: '/data', readOnly, shared: false });

t.test("what is the system's or the daemon's is no source of a mount, nor what holds it", async (t) => {
  const own = ['/srv/fastcontainer/data', '/srv/blog/fastcontainer.yaml', '/run/user/docker.sock'];
  const policy = mountPolicy({ roots: undefined, own });
  const bad = [
    ...['/', '/etc', '/etc/', '/etc/ssl', '/proc/1/root', '/sys', '/dev/sda', '/var', '/run', '/var/run', '/usr/bin'],
    ...['/var/run/docker.sock', '/run/docker.sock', '/run/user', '/srv', '/srv/../etc', '//etc', '/srv/blog'],
    ...['/srv/fastcontainer', '/srv/fastcontainer/data/cmdb'],
  ];
  for (const source of bad) t.match(mountsFault([mount(source)], policy), /for apps; if it is meant/, source);
  for (const source of ['/srv/blog/data', '/srv/blogs', '/home/a', '/var/run/mysqld', '/var/lib/mysql', '/etcetera']) {
    t.equal(mountsFault([mount(source)], policy), undefined, source);
  }
});

t.test('with roots only what is in them, and what is reserved only if it is one of them', async (t) => {
  const policy = mountPolicy({ roots: ['/srv/apps/', '/etc/ssl/certs'], own: [] });
  for (const source of ['/srv/apps', '/srv/apps/a', '/etc/ssl/certs']) {
    t.equal(mountsFault([mount(source)], policy), undefined, source);
  }
  for (const source of ['/srv', '/srv/apps/../x', '/srv/apps2', '/home']) {
    t.match(
      mountsFault([mount(source)], policy),
      /is in none of mounts\.roots \(\/srv\/apps, \/etc\/ssl\/certs\)/,
      source,
    );
  }
  t.match(mountsFault([mount('/etc/ssl/certs/x')], policy), /is in \/etc, which is not for apps/);
});

t.test('a source inside what another mount makes writable is refused, in either order', async (t) => {
  t.match(nestedFault([mount('/srv/a/data')], [mount('/srv/a')], 'a neighbour'), /data is in \/srv\/a, a neighbour/);
  t.match(nestedFault([mount('/srv/a')], [mount('/srv/a/data')], 'a neighbour'), /\/srv\/a holds \/srv\/a\/data/);
  t.equal(nestedFault([mount('/srv/a/data')], [mount('/srv/a', true)], 'a neighbour'), undefined);
  t.equal(nestedFault([mount('/srv/a')], [mount('/srv/a'), mount('/srv/ab')], 'a neighbour'), undefined);
});

t.test('a source that somebody but root could replace by a link is refused', async (t) => {
  if (process.getuid?.() !== 0) return t.comment('skipped: it takes root to give directories away');
  const root = folder(t);
  const make = (name: string, uid = 0, mode = 0o755, gid = 0) => {
    const path = join(root, name);
    mkdirSync(path, { recursive: true });
    chownSync(path, uid, gid);
    chmodSync(path, mode);
    return path;
  };
  t.equal(await sourceFault(make('good/data', 1001)), undefined, "the source itself may be anybody's");
  make('customer', 1001);
  t.match(await sourceFault(make('customer/data')), /belongs to user 1001, who could put a link/);
  make('open', 0, 0o777);
  t.match(await sourceFault(make('open/data')), /writable for everybody/);
  make('shared', 0, 0o775, 1001);
  t.match(await sourceFault(make('shared/data')), /writable for group 1001/);
  make('sticky', 0, 0o1777);
  t.equal(await sourceFault(make('sticky/data')), undefined);
  t.match(await sourceFault(make('sticky/theirs', 1001)), /writable for everybody/);
  symlinkSync('/', join(root, 'good/link'));
  t.match(await sourceFault(join(root, 'good/link')), /good\/link is a symbolic link to \/; name the directory/);
  t.match(await sourceFault(join(root, 'good/link/etc')), /good\/link is a symbolic link to \//);
  t.equal(await sourceFault(join(root, 'good/none')), undefined, 'what is missing is for the engine to say');
});

t.test('the check names them for each app', async (t) => {
  const apps = [
    dockerApp({ image: 'x', name: 'outer', mounts: [mount('/srv/none/a')], user: '1001' }),
    dockerApp({ image: 'x', name: 'inner', mounts: [mount('/srv/none/a/b')] }),
    dockerApp({ image: 'x', name: 'bad', mounts: [mount('/etc', true)] }),
  ];
  const { problems, warnings } = await mountFindings(apps, { roots: undefined, own: [], isRemote: false });
  t.match(problems, [/^app inner: .* is in \/srv\/none\/a, another app's mount/, /^app bad: .*\/etc is not for apps/]);
  t.match(warnings, [/mounts\.roots is not set/, /app inner: a writable mount and no `user`/]);
  t.equal(problems.length, 2);
});

t.test('an app that puts a link to the host into the place of a mount', async (t) => {
  const engine = await useDocker(t);
  if (!engine) return;
  const image = await testImage(engine.docker, 'busybox');
  const secret = folder(t);
  writeFileSync(join(secret, 'secret'), 'of the host');
  const root = folder(t);
  mkdirSync(join(root, 'blog/data'), { recursive: true });
  const blog: Mount = { source: join(root, 'blog'), target: '/blog', readOnly: false, shared: false };
  const data: Mount = { source: join(root, 'blog/data'), target: '/data', readOnly: false, shared: false };
  const planter = dockerApp({
    image,
    mounts: [blog],
    command: ['sh', '-c', `mv /blog/data /blog/old; ln -s ${secret} /blog/data; exec sleep 600`],
  });
  const victim = dockerApp({ image, name: 'victim', mounts: [data] });

  t.test('is not followed while its own container runs', async (t) => {
    const { runtime } = openRuntime(t, engine);
    await bootApp(runtime, planter);
    await eventually(() => existsSync(join(root, 'blog/old')));
    await t.rejects(bootApp(runtime, victim), { message: /app victim: mount source .*blog\/data is a symbolic link/ });
    rmSync(join(root, 'blog/data'));
    mkdirSync(join(root, 'blog/data'));
    await t.rejects(bootApp(runtime, victim), { message: /is in .*\/blog, another app's mount/ });
    t.equal((await runtime.list()).length, 1);
  });

  t.test('nor afterwards, and what can be followed is what was named', async (t) => {
    const { runtime } = openRuntime(t, engine);
    rmSync(join(root, 'blog/data'), { recursive: true });
    symlinkSync(secret, join(root, 'blog/data'));
    await t.rejects(bootApp(runtime, victim), { message: /is a symbolic link/ });
    rmSync(join(root, 'blog/data'));
    mkdirSync(join(root, 'blog/data'));
    const { id } = await bootApp(runtime, victim);
    const { output } = await engine.docker.getContainer(containerName(id)).exec(['ls', '/data']);
    t.equal(output, '');
    await t.rejects(bootApp(runtime, planter), { message: /\/blog holds .*\/blog\/data, another app's mount/ });
  });

  t.test('and one app that mounts both is refused before anything is made', async (t) => {
    const { runtime } = openRuntime(t, engine);
    await t.rejects(bootApp(runtime, dockerApp({ image, mounts: [blog, data] })), {
      message: /another of its own mounts/,
    });
    const sock: Mount = { source: '/var/run/docker.sock', target: '/s', readOnly: false, shared: false };
    await t.rejects(bootApp(runtime, dockerApp({ image, mounts: [sock] })), { message: /is not for apps/ });
  });
});

function folder(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'fastcontainer-mounts-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}
