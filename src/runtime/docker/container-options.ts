import type { App } from '../../model/app.js';
import type { InstanceSpec } from '../runtime.js';
import { type Owner, labelsOf } from './labels.js';

/**
 * What a container keeps of root's powers: enough for usual images to start as root, prepare their files, listen on a
 * port below 1024 and become another user. Docker's own default also has AUDIT_WRITE, MKNOD, NET_RAW, SETFCAP, SETPCAP
 * and SYS_CHROOT.
 */
export const keptCapabilities = [
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'KILL',
  'NET_BIND_SERVICE',
  'SETGID',
  'SETUID',
];

export interface ContainerPlan {
  readonly spec: InstanceSpec;
  readonly owner: Owner;
  readonly network: string;
  /** Chosen address on the network; undefined: the engine chooses. */
  readonly address: string | undefined;
  /** The host's own address on the network, which containers find as host.docker.internal; undefined: they do not. */
  readonly hostAddress: string | undefined;
  /** Of what the container writes to its own file system; undefined: the engine cannot bound it. */
  readonly diskBytes: number | undefined;
  /** Where the app listens inside. */
  readonly port: number;
  /** IP address of the engine's host to publish the port on; undefined: not published. */
  readonly publishOn: string | undefined;
}

/** The engine's create request for one instance. */
export function containerOptions(plan: ContainerPlan) {
  const { spec, port, publishOn } = plan;
  const { app } = spec;
  const tcpPort = `${port}/tcp`;
  return {
    Image: app.image ?? '',
    Labels: labelsOf(plan.owner, spec, port),
    Env: environment(spec, port),
    // Like `docker run IMAGE COMMAND`: an ENTRYPOINT of the image stays and gets it as arguments.
    ...(app.command ? { Cmd: [...app.command] } : {}),
    ...(app.user === undefined || app.user === 'auto' ? {} : { User: app.user }),
    ...(app.cwd === undefined ? {} : { WorkingDir: app.cwd }),
    Tty: false,
    OpenStdin: false,
    // The dispatcher checks readiness itself; a check of the image would cost a process every few seconds.
    Healthcheck: { Test: ['NONE'] },
    ExposedPorts: { [tcpPort]: {} },
    NetworkingConfig: {
      EndpointsConfig: {
        [plan.network]: plan.address === undefined ? {} : { IPAMConfig: { IPv4Address: plan.address } },
      },
    },
    HostConfig: {
      NetworkMode: plan.network,
      ...(publishOn === undefined ? {} : { PortBindings: { [tcpPort]: [{ HostIp: publishOn, HostPort: '' }] } }),
      ...(plan.hostAddress === undefined ? {} : { ExtraHosts: [`host.docker.internal:${plan.hostAddress}`] }),
      ...(plan.diskBytes === undefined ? {} : { StorageOpt: { size: String(plan.diskBytes) } }),
      Init: true,
      RestartPolicy: { Name: 'no' },
      LogConfig: { Type: 'json-file', Config: { 'max-size': '10m', 'max-file': '3' } },
      SecurityOpt: ['no-new-privileges'],
      // Whatever the engine's own default is.
      IpcMode: 'private',
      CapDrop: ['ALL'],
      CapAdd: keptCapabilities,
      ...limits(app),
      ...fileSystem(app),
    },
  };
}

/** Where an instance has its temporary files: in its own layer, which goes with it, unless a directory of the host is mounted there. */
const scratch = '/tmp';

function environment({ id, app, revision }: InstanceSpec, port: number): string[] {
  const hasScratch = !mountsScratch(app);
  const own = {
    PORT: String(port),
    HOST: '0.0.0.0',
    FASTCONTAINER_APP: app.name,
    FASTCONTAINER_INSTANCE: id,
    FASTCONTAINER_REVISION: revision,
    ...(hasScratch ? { FASTCONTAINER_SCRATCH: scratch } : {}),
  };
  return Object.entries({ ...(hasScratch ? { TMPDIR: scratch } : {}), ...app.env, ...own }).map(
    ([name, value]) => `${name}=${value}`,
  );
}

function limits({ limits: { memoryBytes, cpus, cpuWeight, pids, files } }: App) {
  return {
    // The same for memory and swap together: no swap, so a limit means what it says.
    ...(memoryBytes === undefined ? {} : { Memory: memoryBytes, MemorySwap: memoryBytes }),
    ...(cpus === undefined ? {} : { NanoCpus: Math.round(cpus * 1e9) }),
    // The engine's own weight is 1024 where ours is 100.
    CpuShares: Math.max(2, Math.round((cpuWeight * 1024) / 100)),
    ...(pids === undefined ? {} : { PidsLimit: pids }),
    ...(files === undefined ? {} : { Ulimits: [{ Name: 'nofile', Soft: files, Hard: files }] }),
    // Where the host itself runs out of memory, apps go before its services and the daemon.
    OomScoreAdj: 500,
  };
}

function mountsScratch({ mounts }: App): boolean {
  return mounts.some(({ target }) => target.replace(/\/+$/, '') === scratch);
}

function fileSystem(app: App) {
  const { mounts, readOnly } = app;
  return {
    ReadonlyRootfs: readOnly,
    ...(readOnly && !mountsScratch(app) ? { Tmpfs: { [scratch]: 'rw,nosuid,nodev,noexec,size=64m' } } : {}),
    // Not `Binds`: that would create a missing source as an empty directory owned by root.
    Mounts: mounts.map((mount) => ({
      Type: 'bind' as const,
      Source: mount.source,
      Target: mount.target,
      ReadOnly: mount.readOnly,
    })),
  };
}
