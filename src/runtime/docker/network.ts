import { type AddressPool, addressPool } from './addresses.js';
import type { EgressGuard } from './egress-guard.js';
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
  /** Boot also where apps can connect to each other. */
  readonly allowShared: boolean;
  readonly guard: EgressGuard;
  /** See AddressPoolOptions.start; default random. */
  readonly start?: number;
}

/** The network that containers join. */
export interface BootNetwork {
  readonly name: string;
  /** Undefined where the engine must choose addresses itself. */
  readonly pool: AddressPool | undefined;
  /** The host's own address there. */
  readonly gateway?: string;
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
    // Somebody made it too small to choose from.
    return undefined;
  }
}

function addressesInUse(network: unknown): string[] {
  return entriesAt(network, 'Containers').flatMap(
    ([, endpoint]) => textAt(endpoint, 'IPv4Address')?.split('/')[0] ?? [],
  );
}
