import { createHash } from 'node:crypto';
import type { Logger } from 'pino';
import type { Clock } from '../../model/clock.js';
import { type AddressPool, addressPool } from './addresses.js';
import { EngineError, isMissing } from './engine-error.js';
import type { Engine, Inspectable } from './engine.js';
import { labels } from './labels.js';
import { at, entriesAt, listAt, textAt } from './reply.js';

const iccOption = 'com.docker.network.bridge.enable_icc';
const bridgeOption = 'com.docker.network.bridge.name';
const attempts = 10;
const retryMs = 100;

export interface NetworkOptions {
  readonly name: string;
  /** Subnet of a network that is created; default: one that the engine finds free. */
  readonly subnet?: string;
  readonly cmdbName: string;
  readonly logger: Logger;
  readonly clock: Clock;
  /** See AddressPoolOptions.start; default random. */
  readonly start?: number;
}

/** The network that containers join. */
export interface BootNetwork {
  readonly name: string;
  /** Undefined where the engine must choose addresses itself. */
  readonly pool: AddressPool | undefined;
}

export interface Network {
  /** Looks the network up, or creates it; once, however many boots ask. */
  ensure(): Promise<BootNetwork>;
  /** What `ensure` found, without asking the engine. */
  known(): BootNetwork | undefined;
  /** The engine says that it is gone: the next `ensure` asks again. */
  forget(): void;
  /** The engine refuses chosen addresses on this network: from now on it chooses. */
  leaveChoiceToEngine(): void;
  /** Addresses in use, by the engine's own account. */
  inUse(): Promise<string[]>;
}

/** The dispatcher's own bridge network: containers on it reach the world but not each other. */
export function bootNetwork(engine: Engine, options: NetworkOptions): Network {
  let pending: Promise<BootNetwork> | undefined;
  let found: BootNetwork | undefined;
  let engineChooses = false;

  const open = async () => {
    const network = await findOrCreate(engine, options);
    for (const warning of networkWarnings(network, options)) options.logger.warn({ network: options.name }, warning);
    found = { name: options.name, pool: engineChooses ? undefined : poolOf(network, options) };
    return found;
  };

  return {
    known: () => found,
    ensure() {
      pending ??= open().catch((error: unknown) => {
        pending = undefined;
        throw error;
      });
      return pending;
    },
    forget() {
      pending = undefined;
    },
    leaveChoiceToEngine() {
      if (!engineChooses) {
        options.logger.warn(
          { network: options.name },
          `network ${options.name} was made without a subnet of its own, so the engine chooses addresses and may reuse one ` +
            `at once; ${recreate(options.name)}`,
        );
      }
      engineChooses = true;
      found = { name: options.name, pool: undefined };
      pending = Promise.resolve(found);
    },
    inUse: async () => addressesInUse(await inspectNetwork(engine, options.name)),
  };
}

/** What the engine says about the network; undefined where there is none of this name. */
export async function inspectNetwork(engine: Engine, name: string): Promise<unknown> {
  const reply = await engine
    .call(`look up network ${name}`, (abortSignal) =>
      (engine.docker.getNetwork(name) as Inspectable).inspect({ abortSignal }),
    )
    .catch((error: unknown) => {
      if (isMissing(error)) return undefined;
      throw error;
    });
  // The engine also takes the beginning of another network's id for its name.
  return textAt(reply, 'Name') === name ? reply : undefined;
}

/** What is wrong with an existing network, and how to mend it. */
export function networkWarnings(network: unknown, options: Pick<NetworkOptions, 'name' | 'subnet'>): string[] {
  const { name, subnet } = options;
  const warnings: string[] = [];
  const driver = textAt(network, 'Driver');
  if (driver !== 'bridge') warnings.push(`network ${name} has the driver ${driver}, not bridge; ${recreate(name)}`);
  if (textAt(network, 'Options', iccOption) !== 'false') {
    warnings.push(
      `network ${name} lets containers connect to each other (${iccOption} is not "false"), ` +
        `so one customer's app can attack another's; ${recreate(name)}`,
    );
  }
  if (at(network, 'Internal') === true) {
    warnings.push(`network ${name} is internal: apps cannot reach the outside, and published ports do not work`);
  }
  const subnets = listAt(network, 'IPAM', 'Config').map((config) => textAt(config, 'Subnet'));
  if (subnet !== undefined && !subnets.includes(subnet)) {
    warnings.push(`network ${name} has the subnet ${subnets.join(', ')}, not ${subnet} as configured; ${recreate(name)}`);
  }
  return warnings;
}

function recreate(name: string): string {
  return `to mend it, stop its containers and run "docker network rm ${name}": it is then created anew as it should be`;
}

async function findOrCreate(engine: Engine, options: NetworkOptions): Promise<unknown> {
  for (let attempt = 1; attempt <= attempts; attempt += 1) {
    const existing = await inspectNetwork(engine, options.name);
    if (existing !== undefined) return existing;
    try {
      const subnet = options.subnet ?? (await freeSubnet(engine, options, attempt));
      if (subnet !== undefined) {
        await create(engine, options, options.name, subnet);
        continue;
      }
    } catch (error) {
      if (attempt === attempts || !isRace(error, options)) throw error;
    }
    await new Promise<void>((resolve) => void options.clock.after(retryMs * (0.5 + Math.random()), resolve));
  }
  throw new Error(`network ${options.name} cannot be made on Docker Engine at ${engine.where}`);
}

/** Another dispatcher was faster: it made the network, or one with the subnet that was free a moment ago. */
function isRace(error: unknown, options: NetworkOptions): boolean {
  if (!(error instanceof EngineError)) return false;
  if (error.status === 409 || /same bridge name/i.test(error.reason)) return true;
  return options.subnet === undefined && /overlap/i.test(error.reason);
}

/**
 * A subnet that is free on the engine's host. The engine lets addresses be chosen only in a subnet that was given to it,
 * yet it alone knows what is free; so a network is created without one, looked at, and removed.
 */
async function freeSubnet(
  engine: Engine,
  options: NetworkOptions,
  attempt: number,
): Promise<string | undefined> {
  const name = `${options.name}.probe`;
  try {
    await create(engine, options, name, undefined);
  } catch (error) {
    // Somebody else looks, and will be done in a moment; what is there for long was left by one who was killed.
    if (!isRace(error, options) || attempt < attempts / 2) throw error;
  }
  const probe = await inspectNetwork(engine, name);
  await engine
    .call(`remove network ${name}`, (abortSignal) => engine.docker.getNetwork(name).remove({ abortSignal }))
    .catch((error: unknown) => {
      if (!isMissing(error)) throw error;
    });
  return listAt(probe, 'IPAM', 'Config')
    .map((config) => textAt(config, 'Subnet'))
    .find((subnet) => subnet?.includes('.'));
}

async function create(engine: Engine, options: NetworkOptions, name: string, subnet: string | undefined): Promise<void> {
  await engine.call(
    `create network ${name}${subnet === undefined ? '' : ` with subnet ${subnet}`}`,
    (abortSignal) =>
      engine.docker.createNetwork({
        Name: name,
        Driver: 'bridge',
        // The check is best effort: two of one name may come to be. No two have the same bridge.
        CheckDuplicate: true,
        Options: { [iccOption]: 'false', [bridgeOption]: bridgeName(name) },
        Labels: { [labels.cmdb]: options.cmdbName },
        ...(subnet === undefined ? {} : { IPAM: { Driver: 'default', Config: [{ Subnet: subnet }] } }),
        abortSignal,
      }),
    { limitMs: 30_000 },
  );
  if (name === options.name) options.logger.info({ network: name, subnet }, 'created the network of the containers');
}

/** The interface's name on the engine's host, at most 15 characters; made from the network's, so that it is never made twice. */
function bridgeName(network: string): string {
  return `fc-${createHash('sha256').update(network).digest('hex').slice(0, 10)}`;
}

function poolOf(network: unknown, { clock, start = Math.random() }: NetworkOptions): AddressPool | undefined {
  const config = listAt(network, 'IPAM', 'Config').find((entry) => textAt(entry, 'Subnet')?.includes('.'));
  const subnet = textAt(config, 'IPRange') ?? textAt(config, 'Subnet');
  if (subnet === undefined) return undefined;
  const gateway = textAt(config, 'Gateway') ?? firstAddress(textAt(config, 'Subnet') ?? subnet);
  const reserved = entriesAt(config, 'AuxiliaryAddresses').map(([, address]) => String(address));
  return addressPool({ subnet, reserved: [gateway, ...reserved], inUse: addressesInUse(network), clock, start });
}

/** The engine's choice for a gateway that nobody configured. */
function firstAddress(subnet: string): string {
  return subnet.replace(/\.0\/\d+$/, '.1');
}

function addressesInUse(network: unknown): string[] {
  return entriesAt(network, 'Containers').flatMap(([, endpoint]) => textAt(endpoint, 'IPv4Address')?.split('/')[0] ?? []);
}
