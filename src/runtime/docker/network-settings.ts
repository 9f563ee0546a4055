import { firstAddress } from '../network/subnet.js';
import { isMissing } from './engine-error.js';
import type { Engine } from './engine.js';
import { at, listAt, textAt } from './reply.js';

/** Name of the interface on the engine's host. */
export const bridgeOption = 'com.docker.network.bridge.name';

/** Whether containers on a bridge may connect to each other. */
export const iccOption = 'com.docker.network.bridge.enable_icc';

/** The engine's description of a network; undefined if there is none of this name. */
export async function inspectNetwork(engine: Engine, name: string): Promise<unknown> {
  const reply = await engine.json(`look up network ${name}`, { path: ['networks', name] }).catch((error: unknown) => {
    if (isMissing(error)) return undefined;
    throw error;
  });
  // The engine also accepts a prefix of another network's id.
  return textAt(reply, 'Name') === name ? reply : undefined;
}

/** The network's interface on the engine's host; undefined if it is no bridge. */
export function bridgeOf(network: unknown): string | undefined {
  if (textAt(network, 'Driver') !== 'bridge') return undefined;
  const id = textAt(network, 'Id');
  return textAt(network, 'Options', bridgeOption) ?? (id === undefined ? undefined : `br-${id.slice(0, 12)}`);
}

/** The host's address on the network, as seen by containers. */
export function gatewayOf(network: unknown): string | undefined {
  const config = listAt(network, 'IPAM', 'Config').find((entry) => textAt(entry, 'Subnet')?.includes('.'));
  const [gateway, subnet] = [textAt(config, 'Gateway'), textAt(config, 'Subnet')];
  if (gateway !== undefined || subnet === undefined) return gateway;
  try {
    return firstAddress(subnet);
  } catch {
    return undefined;
  }
}

/** Why apps on this network can attack each other; undefined if they cannot. */
export function sharedBecause(network: unknown, name: string): string | undefined {
  const driver = textAt(network, 'Driver');
  if (driver !== 'bridge') return `network ${name} has the driver ${driver}, not bridge`;
  if (textAt(network, 'Options', iccOption) === 'false') return undefined;
  return `network ${name} lets containers connect to each other (${iccOption} is not "false")`;
}

/** What is wrong with an existing network, and how to fix it. */
export function networkWarnings(
  network: unknown,
  wanted: { readonly name: string; readonly subnet?: string },
): string[] {
  const { name, subnet } = wanted;
  const warnings: string[] = [];
  const shared = sharedBecause(network, name);
  if (shared !== undefined) warnings.push(`${shared}, so one customer's app can attack another's; ${recreate(name)}`);
  if (at(network, 'EnableIPv6') === true) {
    warnings.push(
      `network ${name} has IPv6, in which Docker Engine before 27 lets containers connect to each other ` +
        `unless it was started with --experimental --ip6tables; ${recreate(name)}`,
    );
  }
  if (at(network, 'Internal') === true) {
    warnings.push(`network ${name} is internal: apps cannot reach the outside, and published ports do not work`);
  }
  const subnets = listAt(network, 'IPAM', 'Config').map((config) => textAt(config, 'Subnet'));
  if (subnet !== undefined && !subnets.includes(subnet)) {
    warnings.push(
      `network ${name} has the subnet ${subnets.join(', ')}, not ${subnet} as configured; ${recreate(name)}`,
    );
  }
  return warnings;
}

/** Why nothing is booted on a shared network, and what to do. */
export function sharedAdvice(name: string): string {
  return (
    `one customer's app could attack another's, so nothing is booted there; ${recreate(name)}. ` +
    'If all apps trust each other, write runtimes.docker.allowSharedNetwork: true'
  );
}

/** How to have a network created anew with the right settings. */
export function recreate(name: string): string {
  return `to fix it, stop its containers and run "docker network rm ${name}": it is then created anew with the right settings`;
}
