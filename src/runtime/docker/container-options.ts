import type { App } from '../../model/app.js';
import { keptCapabilities } from '../capabilities.js';
import type { InstanceSpec } from '../runtime.js';
import { type Owner, labelsOf } from './labels.js';

export interface ContainerPlan {
  readonly spec: InstanceSpec;
  readonly owner: Owner;
  readonly network: string;
  /** Address on the network; undefined if the engine chooses. */
  readonly address: string | undefined;
  /** The host's address on the network, named host.docker.internal in the container; undefined for no such name. */
  readonly hostAddress: string | undefined;
  /** Limit of what the container writes to its own file system; undefined if the engine has none. */
  readonly diskBytes: number | undefined;
  /** The port that the app listens on inside. */
  readonly port: number;
  /** IP address of the engine's host to publish the port on; undefined if it is not published. */
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
    // As with `docker run IMAGE COMMAND`, an ENTRYPOINT of the image stays and gets the command as arguments.
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
      // Independent of the engine's default.
      IpcMode: 'private',
      CapDrop: ['ALL'],
      CapAdd: keptCapabilities,
      ...limits(app),
      ...fileSystem(app),
    },
  };
}

/** Directory for temporary files, in the container's own layer and removed with it, unless the app mounts something there. */
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
    // The same value for memory and swap together means no swap.
    ...(memoryBytes === undefined ? {} : { Memory: memoryBytes, MemorySwap: memoryBytes }),
    ...(cpus === undefined ? {} : { NanoCpus: Math.round(cpus * 1e9) }),
    // The engine's default weight is 1024, ours is 100.
    CpuShares: Math.max(2, Math.round((cpuWeight * 1024) / 100)),
    ...(pids === undefined ? {} : { PidsLimit: pids }),
    ...(files === undefined ? {} : { Ulimits: [{ Name: 'nofile', Soft: files, Hard: files }] }),
    // If the host runs out of memory, apps are killed before its services and the daemon.
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
    // Not `Binds`, which would create a missing source as an empty directory of root's.
    Mounts: mounts.map((mount) => ({
      Type: 'bind' as const,
      Source: mount.source,
      Target: mount.target,
      ReadOnly: mount.readOnly,
    })),
  };
}
