import type { Clock } from '../../model/clock.js';
import { parseSubnet } from '../network/subnet.js';
import { type EngineAddress, connectEngine } from './engine.js';
import { egressCommands, isElsewhere, obstacleTo } from '../network/egress-guard.js';
import { safeInterface } from '../network/egress-rules.js';
import { hostListeners } from './host-listeners.js';
import { bridgeName } from './network-create.js';
import { bridgeOf, inspectNetwork, networkWarnings, sharedAdvice, sharedBecause } from './network-settings.js';
import { at, listAt, textAt } from './reply.js';

/** API 1.41 is Docker Engine 20.10. */
const oldestApi = [1, 41] as const;

export interface DockerWarningsOptions extends EngineAddress {
  readonly network: string;
  readonly subnet?: string;
  readonly allowSharedNetwork?: boolean;
  readonly allowHost?: readonly string[];
  readonly hostRules?: 'auto' | 'off';
  readonly clock: Clock;
}

/**
 * What is unsafe about this engine, each with what to do; changes nothing. Throws an Error that says what to do if the docker runtime
 * cannot work at all.
 */
export async function dockerWarnings(options: DockerWarningsOptions): Promise<string[]> {
  if (options.subnet !== undefined) parseSubnet(options.subnet);
  const engine = connectEngine(options, options.clock);
  const version = await engine.json('ask Docker Engine for its version', { path: ['version'] });
  const warnings = versionWarnings(textAt(version, 'ApiVersion'), textAt(version, 'Version'), engine.where);
  const info = await engine.json('ask Docker Engine what it can do', { path: ['info'] });
  warnings.push(...limitWarnings(info, engine.where), ...confinementWarnings(info, engine.where));
  const network = await inspectNetwork(engine, options.network);
  if (network !== undefined) {
    const shared = sharedBecause(network, options.network);
    if (shared !== undefined && options.allowSharedNetwork !== true) {
      throw new Error(`${shared}: ${sharedAdvice(options.network)}`);
    }
    warnings.push(...networkWarnings(network, networkOf(options)));
  }
  return [...warnings, ...(await egressWarnings(network, options))];
}

/** Which services of the engine's host containers can reach, and the commands that prevent it. */
async function egressWarnings(network: unknown, options: DockerWarningsOptions): Promise<string[]> {
  const { allowHost = [], hostRules = 'auto', host } = options;
  const bridge = network === undefined ? bridgeName(options.network) : bridgeOf(network);
  const isRemote = host !== undefined;
  const elsewhere = network === undefined || isRemote ? undefined : await isElsewhere(bridge ?? '');
  const obstacle =
    hostRules === 'off' ? 'runtimes.docker.hostRules is off' : (obstacleTo(bridge, isRemote) ?? elsewhere);
  if (obstacle === undefined) return [];
  const allowed = new Set(allowHost);
  const isHere = !isRemote && elsewhere === undefined;
  const ports = !isHere ? [] : (await hostListeners()).filter((port) => !allowed.has(String(port)));
  const which = ports.length === 0 ? '' : `, among them what listens on the TCP ports ${ports.join(', ')}`;
  const say = `unless rules of your own forbid it, containers can reach services of the engine's host${which} (${obstacle})`;
  if (hostRules === 'off' || bridge === undefined || !safeInterface.test(bridge)) return [say];
  const { v4, v6 } = await egressCommands({ bridge, allowHost });
  return [`${say}; run this as root there, and with each start of the machine:\n${v4}${v6}`];
}

function networkOf({ network, subnet }: DockerWarningsOptions) {
  return { name: network, ...(subnet === undefined ? {} : { subnet }) };
}

/** Warns if the engine has no seccomp or cannot limit disk space. */
function confinementWarnings(info: unknown, where: string): string[] {
  const seccomp = listAt(info, 'SecurityOptions').some((option) => String(option).startsWith('name=seccomp'));
  const driver = textAt(info, 'Driver') ?? 'unknown';
  const backing = listAt(info, 'DriverStatus').find((pair) => at(pair, '0') === 'Backing Filesystem');
  const file = textAt(backing, '1') ?? 'unknown';
  const bounds = ['btrfs', 'zfs'].includes(driver) || (driver === 'overlay2' && file === 'xfs');
  return [
    ...(seccomp ? [] : [`Docker Engine at ${where} runs containers without seccomp: they may use every system call`]),
    ...(bounds
      ? []
      : [
          `Docker Engine at ${where} cannot bound what containers write to their own file system (driver ${driver} on ` +
            `${file}), so one app can fill the disk: use overlay2 on xfs that is mounted with pquota, the driver btrfs, or readOnly: true`,
        ]),
  ];
}

/** Limits that the engine accepts but does not enforce. */
function limitWarnings(info: unknown, where: string): string[] {
  const limits = { MemoryLimit: 'memory', SwapLimit: 'swap', CpuCfsQuota: 'cpus', PidsLimit: 'pids' };
  return Object.entries(limits)
    .filter(([field]) => at(info, field) === false)
    .map(
      ([, limit]) =>
        `Docker Engine at ${where} cannot enforce a limit of ${limit}, so one app can starve the others: ` +
        'its kernel lacks that control group; see "docker info"',
    );
}

function versionWarnings(api: string | undefined, version: string | undefined, where: string): string[] {
  const [major = 0, minor = 0] = (api ?? '').split('.').map(Number);
  if (major > oldestApi[0] || (major === oldestApi[0] && minor >= oldestApi[1])) return [];
  return [
    `what answers at ${where} is not Docker Engine 20.10 or newer ` +
      `(version ${version ?? 'unknown'}, API ${api ?? 'unknown'}): upgrade it`,
  ];
}
