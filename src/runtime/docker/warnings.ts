import type { Clock } from '../../model/clock.js';
import { parseSubnet } from './addresses.js';
import { type EngineAddress, connectEngine } from './engine.js';
import { inspectNetwork, networkWarnings } from './network-settings.js';
import { at, textAt } from './reply.js';

/** API 1.41 is Docker Engine 20.10. */
const oldestApi = [1, 41] as const;

export interface DockerWarningsOptions extends EngineAddress {
  readonly network: string;
  readonly subnet?: string;
  readonly clock: Clock;
}

/**
 * What is doubtful about this engine, each with what to do about it; nothing is changed. Throws an Error that says what to
 * do where the docker runtime cannot work at all.
 */
export async function dockerWarnings(options: DockerWarningsOptions): Promise<string[]> {
  if (options.subnet !== undefined) parseSubnet(options.subnet);
  const engine = connectEngine(options, options.clock);
  const version = await engine.json('ask Docker Engine for its version', { path: ['version'] });
  const warnings = versionWarnings(textAt(version, 'ApiVersion'), textAt(version, 'Version'), engine.where);
  const info = await engine.json('ask Docker Engine what it can do', { path: ['info'] });
  warnings.push(...limitWarnings(info, engine.where));
  const network = await inspectNetwork(engine, options.network);
  return network === undefined ? warnings : [...warnings, ...networkWarnings(network, networkOf(options))];
}

function networkOf({ network, subnet }: DockerWarningsOptions) {
  return { name: network, ...(subnet === undefined ? {} : { subnet }) };
}

/** Limits that the engine would take and not enforce. */
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
