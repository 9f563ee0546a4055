import { isMissing } from './engine-error.js';
import type { Engine } from './engine.js';
import { at, listAt, textAt } from './reply.js';

/** Whether containers on a bridge may connect to each other. */
export const iccOption = 'com.docker.network.bridge.enable_icc';

/** What the engine says about the network; undefined where there is none of this name. */
export async function inspectNetwork(engine: Engine, name: string): Promise<unknown> {
  const reply = await engine.json(`look up network ${name}`, { path: ['networks', name] }).catch((error: unknown) => {
    if (isMissing(error)) return undefined;
    throw error;
  });
  // The engine also takes the beginning of another network's id for its name.
  return textAt(reply, 'Name') === name ? reply : undefined;
}

/** What is wrong with an existing network, and how to mend it. */
export function networkWarnings(
  network: unknown,
  wanted: { readonly name: string; readonly subnet?: string },
): string[] {
  const { name, subnet } = wanted;
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
    warnings.push(
      `network ${name} has the subnet ${subnets.join(', ')}, not ${subnet} as configured; ${recreate(name)}`,
    );
  }
  return warnings;
}

/** What an operator does about a network that is not as it should be. */
export function recreate(name: string): string {
  return `to mend it, stop its containers and run "docker network rm ${name}": it is then created anew as it should be`;
}
