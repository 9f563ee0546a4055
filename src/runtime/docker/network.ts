import { type AddressPool, addressPool } from './addresses.js';
import type { EgressGuard } from '../network/egress-guard.js';
import type { Engine } from './engine.js';
import { type NetworkOptions, findOrCreate } from './network-create.js';
import {
  bridgeOf,
  gatewayOf,
  inspectNetwork,
  networkWarnings,
  recreate,
  sharedAdvice,
  sharedBecause,
} from './network-settings.js';
import { entriesAt, listAt, textAt } from './reply.js';

export interface BootNetworkOptions extends NetworkOptions {
  /** Boot even if apps on the network can connect to each other. */
  readonly allowShared: boolean;
  readonly guard: EgressGuard;
  /** See AddressPoolOptions.start; random by default. */
  readonly start?: number;
}

/** The network that containers join. */
export interface BootNetwork {
  readonly name: string;
  /** Undefined if the engine must choose addresses itself. */
  readonly pool: AddressPool | undefined;
  /** The host's address on the network. */
  readonly gateway?: string;
}

export interface Network {
  /** Finds or creates the network, once for all boots. */
  ensure(): Promise<BootNetwork>;
  /** The last result of `ensure`, without asking the engine. */
  known(): BootNetwork | undefined;
  /** Call it if the engine says that the network is gone: the next `ensure` asks again. */
  forget(): void;
  /** Call it if the engine refuses chosen addresses on this network: it chooses them from then on. */
  leaveChoiceToEngine(): void;
  /** Addresses in use, as the engine tells. */
  inUse(): Promise<string[]>;
}

/** The dispatcher's bridge network: its containers reach the outside, but not each other. */
export function bootNetwork(engine: Engine, options: BootNetworkOptions): Network {
  let pending: Promise<BootNetwork> | undefined;
  let found: BootNetwork | undefined;
  let engineChooses = false;

  const open = async () => {
    const network = await findOrCreate(engine, options);
    const shared = sharedBecause(network, options.name);
    if (shared !== undefined && !options.allowShared) throw new Error(`${shared}: ${sharedAdvice(options.name)}`);
    for (const warning of networkWarnings(network, options)) options.logger.warn({ network: options.name }, warning);
    await options.guard.protect(bridgeOf(network));
    const gateway = gatewayOf(network);
    found = {
      name: options.name,
      pool: engineChooses ? undefined : poolOf(network, options),
      ...(gateway !== undefined && { gateway }),
    };
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
      engineChooses = false;
    },
    leaveChoiceToEngine() {
      if (!engineChooses) {
        options.logger.warn(
          { network: options.name },
          `network ${options.name} was made without a subnet of its own, so the engine chooses addresses ` +
            `and may reuse one at once; ${recreate(options.name)}`,
        );
      }
      engineChooses = true;
      found = { ...found, name: options.name, pool: undefined };
      pending = Promise.resolve(found);
    },
    inUse: async () => addressesInUse(await inspectNetwork(engine, options.name)),
  };
}

function poolOf(network: unknown, { clock, start = Math.random() }: BootNetworkOptions): AddressPool | undefined {
  const config = listAt(network, 'IPAM', 'Config').find((entry) => textAt(entry, 'Subnet')?.includes('.'));
  const subnet = textAt(config, 'IPRange') ?? textAt(config, 'Subnet');
  if (subnet === undefined) return undefined;
  const reserved = entriesAt(config, 'AuxiliaryAddresses').map(([, address]) => String(address));
  const gateway = gatewayOf(network) ?? '';
  try {
    return addressPool({ subnet, reserved: [gateway, ...reserved], inUse: addressesInUse(network), clock, start });
  } catch {
    // It was made too small to choose from.
    return undefined;
  }
}

function addressesInUse(network: unknown): string[] {
  return entriesAt(network, 'Containers').flatMap(
    ([, endpoint]) => textAt(endpoint, 'IPv4Address')?.split('/')[0] ?? [],
  );
}
