import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { networkInterfaces } from 'node:os';
import { promisify } from 'node:util';
import type { EgressGuard } from '../network/egress-guard.js';
import { textOf } from '../../machine/text-of.js';
import { firstAddress, parseSubnet, toNumber } from '../network/subnet.js';
import { messageOf } from '../output/printable.js';

export interface NetworkOptions {
  /** Interface to which all instances are connected; made if it is missing. */
  readonly bridge: string;
  readonly subnet: string;
  /** Id of the state directory, which must not share the bridge with another one. */
  readonly owner: string;
  readonly guard: EgressGuard;
}

export const subnetSetting = 'runtimes.oci.subnet';
const limitMs = 10_000;

/** The bridge of the instances and what protects it. */
export class Network {
  readonly #options: NetworkOptions;
  #made: Promise<void> | undefined;
  #isMade = false;

  constructor(options: NetworkOptions) {
    this.#options = options;
  }

  /** Makes what is missing. Throws an Error that says what to do. */
  ensure(): Promise<void> {
    if (this.#isMade && !existsSync(`/sys/class/net/${this.#options.bridge}`)) this.#made = undefined;
    this.#made ??= this.#makeOnce();
    return this.#made;
  }

  async #makeOnce(): Promise<void> {
    this.#isMade = false;
    try {
      await this.#make();
      this.#isMade = true;
    } catch (error) {
      this.#made = undefined;
      throw error;
    }
  }

  async #make(): Promise<void> {
    const { bridge, subnet, owner, guard } = this.#options;
    const fault = overlap(bridge, subnet);
    if (fault !== undefined) throw new Error(fault);
    if (!existsSync(`/sys/class/net/${bridge}`)) {
      // Another dispatcher of this state directory may be faster.
      await ip('link', 'add', 'name', bridge, 'address', markOf(owner), 'type', 'bridge').catch((error: unknown) => {
        if (!existsSync(`/sys/class/net/${bridge}`)) throw error;
      });
    }
    const foreign = foreignBridge(bridge, owner);
    if (foreign !== undefined) throw new Error(foreign);
    const { length } = rangeOf(subnet);
    await setting(`ipv6/conf/${bridge}/disable_ipv6`, '1');
    await ip('address', 'replace', `${gatewayOf(subnet)}/${length}`, 'dev', bridge);
    await ip('link', 'set', 'dev', bridge, 'up');
    const obstacle = await guard.protect(bridge);
    if (obstacle !== undefined) {
      throw new Error(
        `containers could reach the services of this host: ${obstacle}; mend that, or write runtimes.oci.hostRules: off if rules of your ` +
          'own close this way',
      );
    }
    await setting('ipv4/ip_forward', '1');
  }
}

/** Numbers of the addresses that instances can have; the first address of the subnet is the gateway. */
export function rangeOf(subnet: string): { readonly from: number; readonly to: number; readonly length: number } {
  const { first, count } = parseSubnet(subnet, subnetSetting);
  return { from: first + 1, to: first + count - 1, length: Number(subnet.split('/')[1]) };
}

export function gatewayOf(subnet: string): string {
  return firstAddress(subnet, subnetSetting);
}

/** Configuration of the CNI plugin `bridge` for one instance (CNI 0.4.0). */
export function cniConfig(bridge: string, subnet: string, address: string) {
  const gateway = gatewayOf(subnet);
  return {
    cniVersion: '0.4.0',
    name: bridge,
    type: 'bridge',
    bridge,
    isDefaultGateway: true,
    ipMasq: false,
    ipam: { type: 'static', addresses: [{ address: `${address}/${rangeOf(subnet).length}`, gateway }] },
  };
}

/** Why the subnet cannot be used on this host; undefined if it can. */
export function overlap(bridge: string, subnet: string): string | undefined {
  const { first, count } = parseSubnet(subnet, subnetSetting);
  for (const [name, addresses = []] of Object.entries(networkInterfaces())) {
    if (name === bridge) continue;
    for (const { family, address, netmask } of addresses) {
      if (family !== 'IPv4') continue;
      const size = 2 ** 32 - toNumber(netmask);
      const start = Math.floor(toNumber(address) / size) * size;
      if (start >= first + count || start + size <= first) continue;
      return `${subnetSetting}: ${subnet} overlaps the network of the interface ${name} (${address}); choose another`;
    }
  }
  return undefined;
}

/** Why an interface is not the bridge of this installation; undefined if it is, or does not exist. */
export function foreignBridge(bridge: string, owner: string): string | undefined {
  const found = textOf(`/sys/class/net/${bridge}/address`).trim();
  if (found === '' || found === markOf(owner)) return undefined;
  return (
    `the interface ${bridge} is not of this installation; choose another name for runtimes.oci.bridge and another ${subnetSetting}, ` +
    `or, if nothing uses it any longer, remove it: ip link delete ${bridge}`
  );
}

/** The hardware address of the bridge, by which it is known whose it is: a name or a note cannot be given at its making. */
function markOf(owner: string): string {
  const hash = createHash('sha256').update(owner).digest('hex');
  return ['02', ...(hash.slice(0, 10).match(/../g) ?? [])].join(':');
}

async function ip(...args: string[]): Promise<void> {
  const env = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' };
  await promisify(execFile)('ip', args, { env, timeout: limitMs, killSignal: 'SIGKILL' }).catch((error: unknown) => {
    throw new Error(`cannot set up the network of containers: ${messageOf(error)}`, { cause: error });
  });
}

/** A kernel without this protocol has no such setting, and needs none. */
async function setting(name: string, value: string): Promise<void> {
  const path = `/proc/sys/net/${name}`;
  if (!existsSync(path) || (await readFile(path, 'utf8')).trim() === value) return;
  await writeFile(path, value);
}
