import t from 'tap';
import { ociImage } from '../../../src/model/oci-image.js';
import { bundle, type BundlePlan, filesOf } from '../../../src/runtime/oci/bundle.js';
import { containerApp } from './open-containers.js';

const account = { uid: 1_900_000_000, gid: 1_900_000_000, groups: [], home: '/' };

function planned(changes: Parameters<typeof containerApp>[0] = {}, more: Partial<BundlePlan> = {}) {
  const spec = { id: 'shop-1', app: containerApp(changes), revision: 'r1' };
  return bundle({
    ...{
      spec,
      account,
      cmdbName: 'test',
      port: 8080,
      etc: '/c/etc',
      files: ['hosts'],
      root: '/c/fs/root',
      tmp: '/c/fs/tmp',
    },
    ...{ run: '/c/fs/run', mounts: [], netns: '/c/fs/net', cgroup: '/group/shop-1', countsSwap: true, hasShell: true },
    ...more,
  });
}

t.test('a container has all namespaces of its own, no new privileges, and is filtered', async (t) => {
  const { process, linux } = planned();
  t.same(
    linux.namespaces.map(({ type }) => type),
    ['pid', 'mount', 'ipc', 'uts', 'cgroup', 'network'],
  );
  t.equal(process.noNewPrivileges, true);
  t.equal(linux.seccomp.defaultAction, 'SCMP_ACT_ERRNO');
  t.match(linux.maskedPaths, /\/proc\/kcore/);
  t.ok(linux.readonlyPaths.includes('/proc/sys'));
});

t.test('only root has capabilities, and few', async (t) => {
  t.same(planned().process.capabilities, { bounding: [], effective: [], permitted: [] });
  const { bounding } = planned({}, { account: { ...account, uid: 0, gid: 0 } }).process.capabilities;
  t.ok(bounding.includes('CAP_CHOWN'));
  for (const name of ['SYS_ADMIN', 'NET_ADMIN', 'NET_RAW', 'MKNOD', 'SYS_PTRACE', 'SYS_CHROOT', 'DAC_READ_SEARCH']) {
    t.notOk(bounding.includes(`CAP_${name}`), name);
  }
});

t.test('limits are those of the app, without swap if the host can count it', async (t) => {
  const limits = { cpuWeight: 50, cpus: 0.5, memoryBytes: 1e8, pids: 64, files: 1024 };
  const { linux, process } = planned({ limits });
  t.match(linux.resources, {
    memory: { limit: 1e8, swap: 1e8 },
    cpu: { shares: 512, quota: 50_000, period: 100_000 },
    pids: { limit: 64 },
  });
  t.match(process.rlimits, [{ type: 'RLIMIT_NOFILE', soft: 1024, hard: 1024 }]);
  t.same(planned({ limits }, { countsSwap: false }).linux.resources.memory, { limit: 1e8 });
  const { resources } = planned().linux;
  t.same([resources.memory, resources.pids], [undefined, undefined]);
});

t.test('what the daemon tells the app wins over the environment of the app', async (t) => {
  const { process } = planned({ env: { PORT: '1', PATH: '/opt/bin', GREETING: 'hi' } });
  t.ok(process.env.includes('PORT=8080'));
  t.ok(process.env.includes('PATH=/opt/bin'));
  t.ok(process.env.includes('GREETING=hi'));
  t.ok(process.env.includes('FASTCONTAINER_INSTANCE=shop-1'));
});

t.test('the command is never part of a script', async (t) => {
  const { process } = planned({ command: ['echo', '$(id)', ';', 'a b'] });
  t.same(process.args.slice(-4), ['echo', '$(id)', ';', 'a b']);
  t.same(planned({ command: ['a', 'b'] }, { hasShell: false }).process.args, ['a', 'b']);
});

t.test('mounts of the app come last, and neither setuid programs nor devices work on them', async (t) => {
  const mounts = [{ source: '/srv/a', target: '/data', readOnly: true, shared: false }];
  const last = planned({ mounts }).mounts.at(-1);
  t.same(last, { destination: '/data', type: 'bind', source: '/srv/a', options: ['bind', 'ro', 'nosuid', 'nodev'] });
});

t.test('labels become annotations', async (t) => {
  const { annotations } = planned({ labels: { customer: 'c4711' } });
  t.match(annotations, { 'fastcontainer.app': 'shop', 'fastcontainer.label.customer': 'c4711' });
});

t.test('an app with the programs of the host gets none of its users', async (t) => {
  const network = { address: '10.0.0.2', nameservers: ['9.9.9.9'], hostAddress: '10.0.0.1' };
  const files = filesOf('shop', account, true, network);
  t.same(Object.keys(files).toSorted(), ['group', 'hostname', 'hosts', 'passwd', 'resolv.conf']);
  t.equal(files['hosts'], '127.0.0.1 localhost\n10.0.0.2 shop\n10.0.0.1 host.docker.internal\n');
  t.notMatch(filesOf('shop', account, false, network), { passwd: String });
});

t.test('an image is `host`, or named plainly', async (t) => {
  t.same(ociImage(undefined), { kind: 'host' });
  t.same(ociImage('rootfs:/srv/images/php-8.2'), { kind: 'rootfs', path: '/srv/images/php-8.2' });
  const packed = [
    ['oci:/srv/images/shop', '/srv/images/shop'],
    ['oci:/srv/images/shop:v1.2', '/srv/images/shop'],
    ['docker-archive:/srv/images/shop.tar', '/srv/images/shop.tar'],
  ] as const;
  for (const [source, path] of packed) t.same(ociImage(source), { kind: 'packed', source, path });
  for (const name of [
    'registry.example.org/shop:v1',
    'localhost:5000/a/shop',
    `r.example/shop@sha256:${'0'.repeat(64)}`,
  ]) {
    t.same(ociImage(`docker://${name}`), { kind: 'packed', source: `docker://${name}` });
  }
  const bad = [
    ...[
      '',
      'hello:1',
      'rootfs:',
      'rootfs:relative',
      'rootfs:/',
      'rootfs:/a/../b',
      'rootfs:/a,upperdir=/etc',
      'rootfs:/a:b',
    ],
    ...[
      'rootfs:/a/',
      'rootfs:/a\\b',
      'rootfs:/./a',
      'rootfs://a',
      'host:1',
      'oci:relative',
      'oci:/a:',
      'oci:/a:-b',
      'oci:/a/../b',
    ],
    ...[
      'oci:/a:b:c',
      'docker-archive:/a:b',
      'docker-archive:a.tar',
      'docker://',
      'docker://shop',
      'docker://h/UPPER',
      'docker://h/a b',
    ],
    ...['docker:///a', 'docker://h/a --insecure-policy', 'dir:/a', 'docker-daemon:shop:v1'],
  ];
  for (const image of bad) t.equal(ociImage(image), undefined, image);
});
