import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Clock, Timer } from '../../model/clock.js';
import { type EgressPlan, egressScript, nameserversIn, safeInterface } from './egress-rules.js';
import { oneLine } from '../output/printable.js';

const resolvers = ['/etc/resolv.conf', '/run/systemd/resolve/resolv.conf'];
const limitMs = 30_000;
const maxReasonBytes = 4_096;

export interface EgressOptions {
  /** `off` if the operator has other rules. */
  readonly hostRules: 'auto' | 'off';
  readonly allowHost: readonly string[];
  /** How often the rules are installed again, as a reloaded firewall flushes them. */
  readonly hostRulesPeriodMs?: number;
  /** Whether the engine is reached over the network. */
  readonly isRemote: boolean;
  /** See EgressPlan. */
  readonly ownSubnet?: string;
  readonly logger: Logger;
  readonly clock: Clock;
}

/** Keeps containers of a bridge from the host's services. */
export interface EgressGuard {
  /** Installs the rules for this bridge, and again from time to time. Logs once what prevents that, and resolves to it. */
  protect(bridge: string | undefined): Promise<string | undefined>;
  close(): void;
}

export function egressGuard(options: EgressOptions): EgressGuard {
  const { clock, logger, hostRules, allowHost, hostRulesPeriodMs = 60_000, isRemote, ownSubnet } = options;
  let bridge: string | undefined;
  let said: string | undefined;
  let again: Timer | undefined;
  let closed = false;

  const put = async (): Promise<string | undefined> => {
    const obstacle =
      obstacleTo(bridge, isRemote) ??
      (await isElsewhere(bridge ?? '')) ??
      (await install({ bridge: bridge ?? '', allowHost, ownSubnet }));
    const outcome = obstacle ?? 'done';
    if (outcome !== said) {
      if (obstacle === undefined) logger.info({ bridge }, 'containers are kept from the services of this host');
      else logger.warn({ bridge }, `containers can reach services of this host: ${obstacle}; ${advice}`);
    }
    said = outcome;
    return obstacle;
  };
  const putAgain = () => {
    if (!closed) again = clock.after(hostRulesPeriodMs, () => void put().finally(putAgain));
  };

  return {
    async protect(name) {
      if (hostRules === 'off') return undefined;
      bridge = name;
      const obstacle = await put();
      if (again === undefined) putAgain();
      return obstacle;
    },
    close() {
      closed = true;
      again?.cancel();
    },
  };
}

const advice = '"fastcontainer check" prints the commands that close this way';

/** Why the rules cannot be installed from here; undefined if no obstacle is known. */
export function obstacleTo(bridge: string | undefined, isRemote: boolean): string | undefined {
  if (isRemote) return 'the engine is on another machine';
  if (bridge === undefined) return 'its network is not a bridge';
  if (!safeInterface.test(bridge)) return `its bridge ${oneLine(bridge)} has a name that needs quotes`;
  if (process.geteuid?.() !== 0) return 'only root may set packet filter rules, and the daemon is not root';
  const isThere = searchPath().some((folder) => existsSync(join(folder, 'iptables-restore')));
  return isThere ? undefined : 'iptables is not installed';
}

/** Says that the bridge is not in the daemon's network namespace; undefined if it is. */
export async function isElsewhere(bridge: string): Promise<string | undefined> {
  const interfaces = await readFile('/proc/net/dev', 'utf8').catch(() => '');
  const names = interfaces.split('\n').map((line) => line.split(':')[0]?.trim());
  return names.includes(bridge) ? undefined : `the bridge ${bridge} is not in the daemon's network namespace`;
}

/** The rules as scripts for a root shell; separate for IPv6, which a host may lack. */
export async function egressCommands(plan: Omit<EgressPlan, 'nameservers'>): Promise<{ v4: string; v6: string }> {
  const whole = { ...plan, nameservers: await nameservers() };
  return { v4: egressScript(whole, 'iptables'), v6: egressScript(whole, 'ip6tables') };
}

/** The nameservers of this host that containers can ask. */
export async function nameservers(): Promise<string[]> {
  const texts = await Promise.all(resolvers.map((path) => readFile(path, 'utf8').catch(() => '')));
  return nameserversIn(texts.join('\n'));
}

/** Resolves to what went wrong; undefined if nothing did. */
async function install(plan: Omit<EgressPlan, 'nameservers'>): Promise<string | undefined> {
  const { v4, v6 } = await egressCommands(plan);
  const problem = await run(v4);
  if (problem !== undefined) return `iptables: ${problem}`;
  if ((await readFile('/proc/net/if_inet6', 'utf8').catch(() => '')) === '') return undefined;
  const problem6 = await run(v6);
  return problem6 === undefined ? undefined : `ip6tables: ${problem6}`;
}

/** Runs a shell script; resolves to its error output if it failed. */
function run(script: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    const env = { PATH: searchPath().join(':'), LC_ALL: 'C' };
    const shell = spawn('/bin/sh', [], { stdio: ['pipe', 'ignore', 'pipe'], env, cwd: '/', timeout: limitMs });
    let reason = '';
    shell.stderr.setEncoding('utf8').on('data', (text: string) => {
      if (reason.length < maxReasonBytes) reason += text;
    });
    shell.on('error', (error) => resolve(error.message));
    shell.on('close', (code, signal) => {
      resolve(code === 0 ? undefined : oneLine(reason) || `ended with ${signal ?? code}`);
    });
    shell.stdin.on('error', () => undefined);
    shell.stdin.end(script);
  });
}

function searchPath(): string[] {
  return [...(process.env['PATH'] ?? '').split(':').filter((folder) => folder !== ''), '/usr/sbin', '/sbin'];
}
