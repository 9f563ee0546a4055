import { messageOf } from '../output/printable.js';
import type { Logger } from 'pino';
import type { Clock } from '../../model/clock.js';
import type { Address } from '../../model/instance.js';
import type { BootOptions, BootPhase, InstanceSpec } from '../runtime.js';
import { type Place, findContainer, inspectedAddress } from './container.js';
import { containerOptions } from './container-options.js';
import type { DiskQuota } from './disk-quota.js';
import { EngineError } from './engine-error.js';
import type { Pulls } from './image.js';
import type { Engine } from './engine.js';
import type { Exits } from './exits.js';
import type { LastWords } from './last-words.js';
import type { BootNetwork, Network } from './network.js';
import type { MountPolicy } from '../mounts/mount-policy.js';
import { checkMounts } from './mounts.js';
import { containerName } from './labels.js';
import type { OutputLog } from './output-log.js';
import { output } from './output.js';
import { idAt } from './reply.js';
import { removeContainer } from './remove.js';

const lastWordsBytes = 16_384;
const createLimitMs = 30_000;
const startLimitMs = 60_000;

export interface BootContext {
  readonly engine: Engine;
  readonly pulls: Pulls;
  readonly place: Place;
  readonly network: Network;
  readonly exits: Exits;
  /** Publish a port for every container, not only for apps that ask for it. */
  readonly publishAll: boolean;
  readonly mounts: MountPolicy;
  readonly quota: DiskQuota;
  readonly outputLog: OutputLog;
  readonly isRemote: boolean;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Remembers the output of containers that failed boots removed. */
  readonly lastWords: LastWords;
}

/** A boot with all its attempts. */
export interface Job {
  readonly spec: InstanceSpec;
  readonly options: BootOptions;
  readonly port: number;
  readonly publishOn: string | undefined;
  readonly durations: Record<Exclude<BootPhase, 'pull'>, number>;
}

/** Creates and starts the container; a failure leaves nothing behind. */
export async function attemptBoot(context: BootContext, job: Job): Promise<Address> {
  const { network, exits } = context;
  const { signal } = job.options;
  const joined = await network.ensure();
  signal.throwIfAborted();
  const chosen = await chooseAddress(network, joined);
  let containerId: string | undefined;
  try {
    containerId = await timed(context, job, 'create', () => create(context, job, joined, chosen));
    await checkMounts(context.engine, job.spec.app, containerId, context.isRemote);
    signal.throwIfAborted();
    await timed(context, job, 'start', () => start(context, job, containerId ?? ''));
    const { id, app } = job.spec;
    exits.started(containerId, { id, app: app.name });
    context.outputLog.follow({ containerId, instance: id, app: app.name }, 'start');
    const address = await reachedAt(context, job, chosen);
    signal.throwIfAborted();
    return address;
  } catch (error) {
    await cleanUp(context, job, containerId, error);
    if (chosen !== undefined) giveBack(joined, chosen, error);
    throw error;
  }
}

/** Chooses an address; undefined if the engine has to. */
async function chooseAddress(network: Network, { name, pool }: BootNetwork): Promise<string | undefined> {
  if (!pool) return undefined;
  const first = pool.take();
  if (first !== undefined) return first;
  pool.refresh(await network.inUse());
  const address = pool.take();
  if (address !== undefined) return address;
  throw new Error(
    `network ${name} has no free address (one that was freed rests for 60 s): ` +
      'give it a larger one in runtimes.docker.subnet, and remove the network so that it is created anew',
  );
}

/** Frees an address, or marks it if the engine says that it is taken. */
function giveBack({ pool }: BootNetwork, address: string, error: unknown): void {
  pool?.free(address);
  if (isAddressTaken(error)) pool?.occupy(address);
}

async function create(
  { engine, place, quota }: BootContext,
  { spec, port, publishOn }: Job,
  joined: BootNetwork,
  address: string | undefined,
): Promise<string> {
  const plan = {
    ...{ spec, owner: place, network: joined.name, address, port, publishOn },
    hostAddress: place.showHost ? joined.gateway : undefined,
  };
  const post = (bytes: number | undefined) => {
    const body = containerOptions({ ...plan, diskBytes: bytes });
    const query = { name: containerName(spec.id) };
    const request = { method: 'POST', path: ['containers', 'create'], query, body } as const;
    return engine.json(`create container ${spec.id} of app ${spec.app.name}`, request, { limitMs: createLimitMs });
  };
  // The boot's signal does not abort this: whether the container exists must be known, to remove it.
  const diskBytes = quota.bytes();
  const container = await post(diskBytes)
    .catch((error: unknown) => {
      const isRefused = diskBytes !== undefined && error instanceof EngineError && quota.isRefused(error.reason);
      if (!isRefused) throw error;
      return post(undefined);
    })
    .catch((error: unknown) => {
      const missing = error instanceof EngineError && /bind source path does not exist: (.*)$/.exec(error.reason)?.[1];
      if (!missing) throw error;
      throw new Error(
        `app ${spec.app.name} mounts ${missing}, which does not exist on Docker Engine's host: ` +
          'create it, or correct `mounts`',
        { cause: error },
      );
    });
  const containerId = idAt(container, 'Id');
  if (containerId === undefined) throw new Error(`Docker Engine at ${engine.where} created a container without an id`);
  return containerId;
}

async function start({ engine }: BootContext, { spec, options }: Job, containerId: string): Promise<void> {
  await engine.bytes(
    `start container ${spec.id} of app ${spec.app.name}`,
    { method: 'POST', path: ['containers', containerId, 'start'] },
    { signal: options.signal, limitMs: startLimitMs },
  );
}

/** The container's address. If it is published, or the engine chose the address, the engine is asked. */
async function reachedAt({ engine, place }: BootContext, job: Job, chosen: string | undefined): Promise<Address> {
  if (chosen !== undefined && job.publishOn === undefined) return { host: chosen, port: job.port };
  const container = await findContainer(engine, job.spec.id, place);
  const address = container && inspectedAddress(container.reply, place);
  if (address) return address;
  throw new Error(
    `container ${job.spec.id} of app ${job.spec.app.name} ended before it had an address; see its output`,
  );
}

/** Removes what is left, even if the outcome of a call is unknown. Logs its own failures, as the caller throws `error`. */
async function cleanUp(
  { engine, place, clock, logger, lastWords }: BootContext,
  { spec }: Job,
  containerId: string | undefined,
  error: unknown,
): Promise<void> {
  try {
    const engineRefused = error instanceof EngineError && error.status !== undefined;
    if (containerId === undefined && engineRefused) return;
    const found = containerId ?? (await findContainer(engine, spec.id, place))?.containerId;
    if (found === undefined) return;
    const words = output(engine, place, spec.id, lastWordsBytes).catch((problem: unknown) => {
      logger.debug({ err: problem, instance: spec.id }, 'the output of a failed boot cannot be read');
      return '';
    });
    lastWords.keep(spec.id, await words);
    await removeContainer(engine, found, spec.id, clock);
  } catch (problem) {
    const reason = messageOf(problem);
    logger.error({ app: spec.app.name, instance: spec.id }, `a container may be left after a failed boot: ${reason}`);
  }
}

/** Whether the chosen address was taken by another container. */
export function isAddressTaken(error: unknown): boolean {
  return error instanceof EngineError && /^address already in use$/i.test(error.reason);
}

/** Reports the length of a phase, summed up over its attempts. */
async function timed<T>(
  { clock }: BootContext,
  { durations, options }: Job,
  phase: 'create' | 'start',
  run: () => Promise<T>,
): Promise<T> {
  const startedAt = clock.monotonic();
  try {
    const result = await run();
    options.onPhase(phase, durations[phase] + clock.monotonic() - startedAt);
    return result;
  } finally {
    durations[phase] += clock.monotonic() - startedAt;
  }
}
