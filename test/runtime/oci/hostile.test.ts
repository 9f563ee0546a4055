import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import { join, resolve } from 'node:path';
import t, { type Test } from 'tap';
import type { App } from '../../../src/model/app.js';
import { gatewayOf } from '../../../src/runtime/oci/network.js';
import type { Runtime } from '../../../src/runtime/runtime.js';
import { eventually } from '../../fixtures/eventually.js';
import { noLimits } from '../../fixtures/app.js';
import { boot, shellApp, useContainers } from './open-containers.js';

/** Prints whether each command works; `can NAME COMMAND...` */
const can = 'can() { name=$1; shift; if "$@" >/dev/null 2>&1; then echo "$name: yes"; else echo "$name: no"; fi; };';

/** Runs a script in a container, and resolves to what it printed until its line `end`. */
async function attack(runtime: Runtime, script: string, changes: Partial<App> = {}): Promise<string> {
  const { id } = await boot(runtime, shellApp(`${can} ${script}; echo end; exec sleep 1000`, changes));
  await eventually(async () => /^end$/m.test(await runtime.output(id, 20_000)));
  const said = await runtime.output(id, 20_000);
  await runtime.stop(id, 0);
  return said;
}

/** Checks that a script's lines say so, all of them. */
function says(t: Test, said: string, expected: Record<string, 'yes' | 'no'>): void {
  const found = Object.fromEntries(said.split('\n').flatMap((line) => [line.split(': ') as [string, string]]));
  for (const [name, verdict] of Object.entries(expected)) t.equal(found[name], verdict, name);
}

for (const user of ['root', 'auto']) {
  t.test(`an app of user ${user} sees and changes nothing of the host`, async (t) => {
    const containers = await useContainers(t);
    if (!containers) return;
    const runtime = await containers.open();
    const secret = join(containers.options.stateDir, 'secret');
    writeFileSync(secret, 'of the daemon', { mode: 0o644 });
    const script = `
      can control true
      can secret cat ${secret}
      can shadow cat /etc/shadow
      can home ls /root/
      can sockets ls /run/docker.sock
      can daemon ls ${containers.options.stateDir}
      can usr touch /usr/x
      can lib touch /lib/x
      can certificates touch /etc/ssl/certs/x
      can sysctl sh -c 'echo 1 >/proc/sys/kernel/panic'
      can core sh -c 'echo "|/bin/sh" >/proc/sys/kernel/core_pattern'
      can sysrq sh -c 'echo h >/proc/sysrq-trigger'
      can sys sh -c 'echo 1 >/sys/kernel/profiling'
      can cgroup mkdir /sys/fs/cgroup/pids/x
      can release sh -c 'for file in /sys/fs/cgroup/*/release_agent; do echo /x >"$file" || exit 1; done'
      can kcore head -c 1 /proc/kcore
      can disk mknod /tmp/disk b 8 0
      can memory mknod /tmp/mem c 1 1
      can mount mount -t tmpfs x /tmp
      can remount mount -o remount,rw /usr
      can unshare unshare --mount true
      can userns unshare --user --map-root-user true
      can enter nsenter --target 1 --mount true
      can chroot chroot / true
      can clock date --set '2001-01-01'
      can hostname hostname other
      can modules modprobe dummy
      can log dmesg
      can address ip address add 10.0.0.9/8 dev eth0
      can link ip link set dev eth0 down
      can init test "$(cat /proc/1/comm)" = sh
      can alone test "$(ls -d /proc/[0-9]* | wc -l)" -lt 8
      can setuid sh -c 'grep -q "NoNewPrivs:.1" /proc/self/status'`;
    const said = await attack(runtime, script, { user });
    const refused = `secret shadow home sockets daemon usr lib certificates sysctl core sysrq sys cgroup release kcore disk memory
      mount remount unshare userns enter chroot clock hostname modules log address link`;
    says(t, said, {
      ...Object.fromEntries(refused.split(/\s+/).map((name) => [name, 'no' as const])),
      ...{ control: 'yes', init: 'yes', alone: 'yes', setuid: 'yes' },
    });
  });
}

t.test('an app calls no part of the kernel that apps do not need', async (t) => {
  const containers = await useContainers(t);
  if (!containers) return;
  // By the numbers of x86-64: ptrace, keyctl, bpf, io_uring_setup, userfaultfd, a packet socket, a VSOCK socket, a new user namespace.
  const calls = { ptrace: '101,0,0,0,0', keyctl: '250,0,0,0,0', bpf: '321,0,0,0', ring: '425,1,0', fault: '323,0' };
  const sockets = { packet: '41,17,3,0', vsock: '41,40,1,0', crypto: '41,38,5,0' };
  const more = { namespace: '56,0x10000011,0,0,0,0', personality: '135,0x0400000' };
  const all = { ...calls, ...sockets, ...more, getpid: '39', inet: '41,2,1,0' };
  if (process.arch !== 'x64') {
    t.comment('the calls are named by their numbers on x86-64');
    return;
  }
  const lines = Object.entries(all).map(([name, args]) => `can ${name} perl -e 'exit(syscall(${args}) < 0)'`);
  const said = await attack(await containers.open(), lines.join('\n'), { user: 'root' });
  if (!/getpid: yes/.test(said)) {
    t.comment('this host has no perl to call the kernel with');
    return;
  }
  says(t, said, {
    ...Object.fromEntries(Object.keys({ ...calls, ...sockets, ...more }).map((name) => [name, 'no' as const])),
    inet: 'yes',
  });
});

t.test(
  'an app reaches neither its neighbours nor the host nor the metadata service, but what the host allows',
  async (t) => {
    const containers = await useContainers(t);
    if (!containers) return;
    const [closed, open] = [await listen(t), await listen(t)];
    const runtime = await containers.open({ allowHost: [String(open)] });
    const victim = await boot(runtime, webApp());
    const { host } = victim.address;
    const ask = () => fetch(`http://${host}:${victim.address.port}/`, { headers: { connection: 'close' } });
    t.equal((await eventually(ask)).status, 200, 'the host reaches it');
    const gateway = gatewayOf(containers.options.subnet);
    const reach = (name: string, address: string, port: number) =>
      `can ${name} timeout 5 bash -c 'exec 3<>/dev/tcp/${address}/${port}'`;
    const script = [
      reach('self', '127.0.0.1', 1),
      reach('neighbour', host, victim.address.port),
      reach('closed', gateway, closed),
      reach('open', gateway, open),
      reach('named', 'host.docker.internal', open),
      reach('other', ownAddress(), closed),
      reach('metadata', '169.254.169.254', 80),
      'can link-local grep -q . /proc/net/if_inet6',
      `can neighbours ping -c 1 -W 1 ${host}`,
    ].join('\n');
    const said = await attack(runtime, script, { user: 'root' });
    const no = ['self', 'neighbour', 'closed', 'other', 'metadata', 'link-local', 'neighbours'] as const;
    says(t, said, { ...Object.fromEntries(no.map((name) => [name, 'no' as const])), open: 'yes', named: 'yes' });
  },
);

t.test('a fork bomb and a memory hog stay within the limits of their instance', async (t) => {
  const containers = await useContainers(t);
  if (!containers) return;
  const runtime = await containers.open();
  const bomb = 'for i in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do sleep 1000 & done 2>&1';
  const { id } = await boot(runtime, shellApp(bomb, { limits: { ...noLimits, pids: 10 } }));
  await eventually(async () => /[Cc]annot fork|Resource temporarily/.test(await runtime.output(id, 10_000)));
  await runtime.stop(id, 0);
  const hog = await boot(
    runtime,
    shellApp('head -c 64m /dev/zero >/tmp/x; echo "kept $(stat -c %s /tmp/x)"; exec sleep 1000', {
      limits: { ...noLimits, memoryBytes: 24 * 1024 * 1024 },
    }),
  );
  const outcome = await eventually(async () => {
    const inspection = await runtime.inspect(hog.id);
    return inspection.state === 'exited' || /kept/.test(await runtime.output(hog.id, 1_000));
  });
  t.ok(outcome, 'it is killed, or what it wrote is');
  t.notMatch(await runtime.output(hog.id, 1_000), /kept 67108864/);
});

t.test('what an instance writes is bounded and goes with it', async (t) => {
  const containers = await useContainers(t);
  if (!containers) return;
  const runtime = await containers.open({ diskBytes: 8 * 1024 * 1024 });
  const said = await attack(
    runtime,
    'can small head -c 1m /dev/zero >/tmp/a; can full sh -c "head -c 64m /dev/zero >/tmp/b"',
  );
  says(t, said, { full: 'no' });
  const again = await attack(runtime, 'can fresh test ! -e /tmp/b');
  says(t, again, { fresh: 'yes' });
});

function webApp(): App {
  const mounts = [{ source: resolve('test/fixtures/apps'), target: '/apps', readOnly: true, shared: false }];
  return shellApp('exec node /apps/web.mjs', { mounts });
}

/** A service of this host on all addresses. */
async function listen(t: Test): Promise<number> {
  const server = createServer((socket) => socket.end()).listen(0, '0.0.0.0');
  t.teardown(() => server.close());
  await once(server, 'listening');
  return (server.address() as { port: number }).port;
}

/** Another address of this host than that of the bridge. */
function ownAddress(): string {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return all.find(({ family, internal }) => family === 'IPv4' && !internal)?.address ?? '127.0.0.1';
}
