import { keptCapabilities } from '../capabilities.js';
import type { Account } from '../kept/account.js';
import type { InstanceSpec } from '../runtime.js';
import { usualPath } from './command.js';
import { bind, type OciMount } from './host-view.js';
import { seccomp } from './seccomp.js';

/** What an instance's container is made of. Paths are the host's unless they say otherwise. */
export interface BundlePlan {
  readonly spec: InstanceSpec;
  readonly cmdbName: string;
  readonly account: Account;
  readonly port: number;
  /** Directory with those of its files that are mounted into its /etc, and their names. */
  readonly etc: string;
  readonly files: readonly string[];
  readonly root: string;
  /** Directories that take the place of /tmp and /run; an image whose files can be written keeps its own /run. */
  readonly tmp: string;
  readonly run: string | undefined;
  /** What is mounted before the app's own mounts. */
  readonly mounts: readonly OciMount[];
  readonly netns: string;
  /** Path of its control group in each hierarchy. */
  readonly cgroup: string;
  /** Whether the host counts swap, so that it can be limited. */
  readonly countsSwap: boolean;
  /** Whether a shell of the image can be process 1, which starts the command and reaps what others leave. */
  readonly hasShell: boolean;
}

const periodUs = 100_000;

/** Script of process 1. Its last command keeps the shell from becoming the app, which could then not end by a signal of its own. */
export const init = '"$@"; exit $?';

/** The container's configuration by the OCI runtime specification 1.0. */
export function bundle(plan: BundlePlan) {
  const { spec, account, hasShell, root, netns, cgroup } = plan;
  const { app, id, revision } = spec;
  const isRoot = account.uid === 0;
  const capabilities = isRoot ? keptCapabilities.map((name) => `CAP_${name}`) : [];
  return {
    ociVersion: '1.0.2',
    hostname: app.name,
    process: {
      terminal: false,
      user: { uid: account.uid, gid: account.gid, additionalGids: [...account.groups] },
      args: [...(hasShell ? ['/bin/sh', '-c', init, 'sh'] : []), ...(app.command ?? [])],
      env: environment(plan),
      cwd: app.cwd ?? '/',
      noNewPrivileges: true,
      // Programs of other users have none, and cannot gain any.
      capabilities: { bounding: capabilities, effective: capabilities, permitted: capabilities },
      rlimits: [
        ...(app.limits.files === undefined ? [] : [rlimit('RLIMIT_NOFILE', app.limits.files)]),
        rlimit('RLIMIT_CORE', 0),
      ],
      // If the host runs out of memory, apps are killed before its services and the daemon.
      oomScoreAdj: 500,
    },
    root: { path: root, readonly: app.readOnly },
    mounts: mountsOf(plan),
    annotations: {
      'fastcontainer.cmdb': plan.cmdbName,
      'fastcontainer.app': app.name,
      'fastcontainer.instance': id,
      'fastcontainer.revision': revision,
      ...Object.fromEntries(Object.entries(app.labels).map(([name, value]) => [`fastcontainer.label.${name}`, value])),
    },
    linux: {
      namespaces: [
        ...['pid', 'mount', 'ipc', 'uts', 'cgroup'].map((type) => ({ type })),
        { type: 'network', path: netns },
      ],
      cgroupsPath: cgroup,
      resources: resources(plan),
      // The network namespace is the instance's own, so that this opens no port of the host.
      sysctl: { 'net.ipv4.ip_unprivileged_port_start': '0' },
      seccomp,
      maskedPaths: [
        ...['acpi', 'asound', 'interrupts', 'kcore', 'keys', 'latency_stats', 'sched_debug', 'scsi', 'timer_list'].map(
          (name) => `/proc/${name}`,
        ),
        ...['/proc/timer_stats', '/sys/devices/virtual/powercap', '/sys/firmware'],
      ],
      readonlyPaths: ['bus', 'fs', 'irq', 'sys', 'sysrq-trigger'].map((name) => `/proc/${name}`),
    },
  };
}

/** Texts of the files in /etc that are the instance's own, by their names. */
export function filesOf(
  app: string,
  { uid, gid }: Account,
  isHost: boolean,
  network: {
    readonly address: string;
    readonly nameservers: readonly string[];
    readonly hostAddress: string | undefined;
  },
): Readonly<Record<string, string>> {
  const { address, nameservers, hostAddress } = network;
  const host = hostAddress === undefined ? '' : `${hostAddress} host.docker.internal\n`;
  const user = uid === 0 ? '' : `app:x:${uid}:${gid}:app:/tmp:/bin/sh\n`;
  const group = gid === 0 ? '' : `app:x:${gid}:\n`;
  return {
    hostname: `${app}\n`,
    hosts: `127.0.0.1 localhost\n${address} ${app}\n${host}`,
    'resolv.conf': nameservers.map((server) => `nameserver ${server}\n`).join(''),
    // An image has users of its own, and no app gets to see those of the host.
    ...(isHost && {
      passwd: `root:x:0:0:root:/root:/bin/sh\n${user}nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n`,
      group: `root:x:0:\n${group}nogroup:x:65534:\n`,
    }),
  };
}

function environment({ spec, port }: BundlePlan): string[] {
  const { id, app, revision } = spec;
  const usual = { PATH: usualPath, HOME: '/tmp', TMPDIR: '/tmp' };
  const own = {
    PORT: String(port),
    HOST: '0.0.0.0',
    FASTCONTAINER_APP: app.name,
    FASTCONTAINER_INSTANCE: id,
    FASTCONTAINER_REVISION: revision,
    FASTCONTAINER_SCRATCH: '/tmp',
  };
  return Object.entries({ ...usual, ...app.env, ...own }).map(([name, value]) => `${name}=${value}`);
}

function mountsOf({ spec, etc, files, tmp, run, mounts }: BundlePlan): OciMount[] {
  const mount = (destination: string, type: string, options: string) => ({
    ...{ destination, type, source: type },
    options: options.split(','),
  });
  return [
    mount('/proc', 'proc', 'nosuid,noexec,nodev'),
    mount('/dev', 'tmpfs', 'nosuid,noexec,strictatime,mode=755,size=64k'),
    mount('/dev/pts', 'devpts', 'nosuid,noexec,newinstance,ptmxmode=0666,mode=0620'),
    mount('/dev/shm', 'tmpfs', 'nosuid,noexec,nodev,mode=1777,size=64m'),
    mount('/sys', 'sysfs', 'nosuid,noexec,nodev,ro'),
    // Language runtimes read their limit of memory there.
    mount('/sys/fs/cgroup', 'cgroup', 'nosuid,noexec,nodev,relatime,ro'),
    ...mounts,
    bind(tmp, '/tmp', 'rw'),
    ...(run === undefined ? [] : [bind(run, '/run', 'rw')]),
    ...files.map((name) => bind(`${etc}/${name}`, `/etc/${name}`, 'ro')),
    ...spec.app.mounts.map(({ source, target, readOnly }) => bind(source, target, readOnly ? 'ro' : 'rw')),
  ];
}

function resources({ spec, countsSwap }: BundlePlan) {
  const { memoryBytes, cpus, cpuWeight, pids } = spec.app.limits;
  return {
    devices: [{ allow: false, access: 'rwm' }],
    ...(memoryBytes === undefined
      ? {}
      : // The same value for memory and swap together means no swap.
        { memory: { limit: memoryBytes, ...(countsSwap ? { swap: memoryBytes } : {}) } }),
    cpu: {
      // The kernel's default weight is 1024, ours is 100.
      shares: Math.max(2, Math.round((cpuWeight * 1024) / 100)),
      ...(cpus === undefined ? {} : { quota: Math.max(1_000, Math.round(cpus * periodUs)), period: periodUs }),
    },
    ...(pids === undefined ? {} : { pids: { limit: pids } }),
  };
}

function rlimit(type: string, limit: number) {
  return { type, soft: limit, hard: limit };
}
