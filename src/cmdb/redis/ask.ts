import { Cluster, type Redis } from '../../libraries/ioredis.js';
import { connect, type ConnectOptions } from './connect.js';

const timeLimitMs = 2_000;

/** Asks a server, or one node of a cluster, over a new connection. Throws if it cannot be reached. */
export async function askRedis<T>(
  options: Omit<ConnectOptions, 'timeLimitMs'>,
  ask: (node: Redis, client: Redis | Cluster) => Promise<T>,
): Promise<T> {
  const client = connect({ ...options, timeLimitMs }, { retryStrategy: () => null, enableOfflineQueue: true });
  let lastError: Error | undefined;
  client.on('error', (error: Error) => (lastError = error));
  try {
    return await ask(client instanceof Cluster ? await firstNode(client) : client, client);
  } catch (error) {
    const why = lastError ?? (error as Error);
    throw new Error(`the CMDB cannot be reached: ${why.message}; check its address, password and TLS in cmdb`, {
      cause: error,
    });
  } finally {
    client.disconnect();
  }
}

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
