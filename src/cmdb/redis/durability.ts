import { Cluster } from 'ioredis';
import { connect, type ConnectOptions } from './connect.js';

const evicting = /^(allkeys|volatile)-/;
const timeLimitMs = 2_000;

/**
 * What may make this server lose instances and claims, each with what to set. Throws where it cannot be reached. A cluster
 * is asked through one of its nodes.
 */
export async function redisDurabilityWarnings(options: Omit<ConnectOptions, 'timeLimitMs'>): Promise<string[]> {
  const client = connect({ ...options, timeLimitMs }, { retryStrategy: () => null, enableOfflineQueue: true });
  let lastError: Error | undefined;
  client.on('error', (error: Error) => (lastError = error));
  try {
    const node = client instanceof Cluster ? await firstNode(client) : client;
    const replicas = Number(/connected_slaves:(\d+)/.exec(await node.info('replication'))?.[1] ?? 0);
    const settings = await settingsOf((...args) => node.call(...args) as Promise<string[]>);
    return settings ? warningsFor(settings, replicas) : [noConfig];
  } catch (error) {
    const why = lastError ?? (error as Error);
    throw new Error(`the CMDB cannot be reached: ${why.message}; check its address, password and TLS in cmdb`, {
      cause: error,
    });
  } finally {
    client.disconnect();
  }
}

const noConfig =
  'Redis does not tell its settings (CONFIG is forbidden): make sure that it persists (appendonly yes) and does not evict ' +
  '(maxmemory-policy noeviction)';

async function firstNode(cluster: Cluster) {
  if (cluster.status !== 'ready') {
    await new Promise<void>((resolve, reject) => {
      cluster.once('ready', resolve);
      cluster.once('end', () => reject(new Error('no node of the cluster answers')));
    });
  }
  const [node] = cluster.nodes('master');
  if (!node) throw new Error('the cluster has no master');
  return node;
}

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
