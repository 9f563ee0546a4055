import type { Logger } from 'pino';
import type { Clock } from '../model/clock.js';
import { shared } from '../model/shared-work.js';
import { parseSubnet } from './network/subnet.js';
import { boot } from './docker/boot.js';
import type { Place } from './docker/container.js';
import { diskQuota } from './docker/disk-quota.js';
import { egressGuard } from './network/egress-guard.js';
import { type EngineAddress, connectEngine } from './docker/engine.js';
import { EngineIdentity } from './docker/engine-identity.js';
import { trackExits } from './docker/exits.js';
import { Pulls } from './docker/image.js';
import { inspect } from './docker/inspect.js';
import { lastWords } from './docker/last-words.js';
import { ForeignContainers, list } from './docker/list.js';
import { ownListening } from './docker/listening.js';
import { listensOn } from './docker/listens-on.js';
import { type MountOptions, mountPolicy } from './mounts/mount-policy.js';
import { bootNetwork } from './docker/network.js';
import { OutputLog } from './docker/output-log.js';
import { output } from './docker/output.js';
import { stop } from './docker/stop.js';
import { suspender } from './docker/suspend.js';
import { watchEngine } from './docker/watch.js';
import type { Runtime } from './runtime.js';

export { dockerWarnings } from './docker/warnings.js';

export interface DockerRuntimeOptions extends EngineAddress {
  /** The bridge network that containers join; created without traffic between containers if it is missing. */
  readonly network: string;
  /** IPv4 CIDR of the network if it is created; by default one that the engine finds free. */
  readonly subnet?: string;
  /** Boot even on a network that lets containers connect to each other. */
  readonly allowSharedNetwork?: boolean;
  /** Services of the engine's host that containers may reach, such as `3306` or `53/udp`. */
  readonly allowHost?: readonly string[];
  /** Whether to install rules that keep containers from the host's other services; `auto`, the default: if possible. */
  readonly hostRules?: 'auto' | 'off';
  /** How often those rules are installed again; a minute by default. */
  readonly hostRulesPeriodMs?: number;
  /** How much a container may write to its own file system, if the engine can limit that; unlimited by default. */
  readonly diskBytes?: number;
  /** The directories that apps may mount; by default any but the system's. */
  readonly mounts?: MountOptions;
  /** Label of the containers; those without it are never touched. */
  readonly cmdbName: string;
  /** Distinguishes this installation from others of the same cmdb name, even if its store was replaced; also a label. */
  readonly installation: string;
  /**
   * The address at which other machines reach this one: every container is reached through a port published there. If absent, only apps
   * with `publish` are published, on 127.0.0.1; the others are reached at their own address.
   */
  readonly advertiseHost?: string;
  readonly logger: Logger;
  readonly clock: Clock;
}

/**
 * Runs containers on Docker Engine 20.10 (API 1.41) or newer, local or remote. Connects at the first call, but throws at once if
 * `subnet` or a TLS file is bad. The engine chooses published ports, each in turn.
 */
export function openDockerRuntime(options: DockerRuntimeOptions): Runtime {
  if (options.subnet !== undefined) parseSubnet(options.subnet);
  if (!/^[a-zA-Z0-9][a-zA-Z0-9_.-]*$/.test(options.network)) {
    throw new Error(`runtimes.docker.network: ${options.network} is not a name for a network`);
  }
  const { cmdbName, advertiseHost, logger, clock } = options;
  const engine = connectEngine(options, clock);
  const identity = new EngineIdentity(engine);
  const { allowHost = [], hostRules = 'auto', allowSharedNetwork: allowShared = false } = options;
  const isRemote = options.host !== undefined;
  const guard = egressGuard({ ...options, allowHost, hostRules, isRemote });
  const place: Place = {
    cmdbName,
    installation: options.installation,
    network: options.network,
    publishedHost: advertiseHost ?? '127.0.0.1',
    showHost: allowHost.length > 0,
  };
  const network = bootNetwork(engine, { ...options, name: options.network, allowShared, guard });
  const exits = trackExits(engine, { owner: place, logger });
  const events = watchEngine(engine, exits, { owner: place, logger, clock });
  const publishAll = advertiseHost !== undefined;
  const words = lastWords();
  const pulls = new Pulls();
  const outputLog = new OutputLog({ engine, logger, clock });
  const listening = ownListening(isRemote);
  const foreign = new ForeignContainers(logger);
  const context = {
    engine,
    pulls,
    place,
    network,
    exits,
    publishAll,
    mounts: mountPolicy(options.mounts ?? { roots: undefined, own: [] }),
    isRemote,
    quota: diskQuota(options.diskBytes, logger),
    outputLog,
    logger,
    clock,
    lastWords: words,
  };
  const stopping = new Map<string, Promise<void>>();

  return {
    name: 'docker',
    get identity() {
      return identity.known;
    },
    learnIdentity: () => identity.learn(),
    boot: (spec, bootOptions) => boot(context, spec, bootOptions),
    stop(id, graceMs) {
      words.forget(id);
      return shared(stopping, id, () => stop(context, id, graceMs));
    },
    inspect: (id) => inspect({ engine, place, listening }, id),
    async list() {
      await identity.learn();
      return list({ engine, place, foreign, outputLog });
    },
    suspender: suspender(engine, place),
    listensOn: (id) => listensOn(engine, place, id),
    watch: (onExit) => events.watch(onExit),
    async output(id, maxBytes) {
      const live = await output(engine, place, id, maxBytes);
      return live === '' ? (words.of(id)?.slice(-maxBytes) ?? '') : live;
    },
    async close() {
      pulls.close();
      events.close();
      guard.close();
      outputLog.close();
    },
  };
}
