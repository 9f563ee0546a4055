import { askRedis } from './ask.js';
import type { ConnectOptions } from './connect.js';

const evicting = /^(allkeys|volatile)-/;

/** Settings that may make this server lose instances and claims, each with what to set. Throws if it cannot be reached. */
export function redisDurabilityWarnings(options: Omit<ConnectOptions, 'timeLimitMs'>): Promise<string[]> {
  return askRedis(options, async (node) => {
    const replicas = Number(/connected_slaves:(\d+)/.exec(await node.info('replication'))?.[1] ?? 0);
    const settings = await settingsOf((...args) => node.call(...args) as Promise<string[]>);
    return settings ? warningsFor(settings, replicas) : [noConfig];
  });
}

const noConfig =
  'Redis does not tell its settings (CONFIG is forbidden): make sure that it persists (appendonly yes) and does not evict ' +
  '(maxmemory-policy noeviction)';

async function settingsOf(
  call: (...args: [string, ...string[]]) => Promise<string[]>,
): Promise<Map<string, string> | undefined> {
  const settings = new Map<string, string>();
  for (const pattern of ['appendonly', 'save', 'maxmemory*', 'min-replicas-*']) {
    const flat = await call('CONFIG', 'GET', pattern).catch((error: Error) => {
      if (/NOPERM|unknown command/i.test(error.message)) return undefined;
      throw error;
    });
    if (!flat) return undefined;
    for (let index = 0; index < flat.length; index += 2) settings.set(flat[index] as string, flat[index + 1] as string);
  }
  return settings;
}

function warningsFor(settings: ReadonlyMap<string, string>, replicas: number): string[] {
  const warnings: string[] = [];
  if (settings.get('appendonly') !== 'yes' && !settings.get('save')) {
    warnings.push('Redis keeps nothing on disk, so that a restart loses all instances: set appendonly yes');
  }
  const policy = settings.get('maxmemory-policy') ?? 'noeviction';
  if (evicting.test(policy)) {
    warnings.push(`Redis may throw keys away when its memory is full (${policy}): set maxmemory-policy noeviction`);
  }
  if (replicas > 0 && (settings.get('min-replicas-to-write') === '0' || settings.get('min-replicas-max-lag') === '0')) {
    warnings.push(
      'Redis acknowledges writes that a failover may lose: set min-replicas-to-write 1 and min-replicas-max-lag 10',
    );
  }
  return warnings;
}
