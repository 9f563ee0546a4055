import { createServer } from 'node:net';
import type { Config } from '../../config/config.js';
import { formatListenAddress, type ListenAddress } from '../../config/listen-address.js';
import type { Findings } from './host-check.js';
import { explainStartError } from '../start-error.js';

/** Whether the addresses can be listened on. One in use is a warning: most likely the daemon runs. */
export async function checkListen(config: Config): Promise<Findings> {
  const addresses = [
    ...config.listen.http,
    ...config.listen.https,
    ...('path' in config.admin.listen ? [] : [config.admin.listen]),
  ];
  const problems: string[] = [];
  const warnings: string[] = [];
  for (const address of addresses) {
    const error = await tryListen(address);
    if (error?.code === 'EADDRINUSE') warnings.push(`${formatListenAddress(address)} is in use; by a running daemon?`);
    else if (error) problems.push(explainStartError(error, config));
  }
  return { problems, warnings };
}

function tryListen(address: ListenAddress): Promise<NodeJS.ErrnoException | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', resolve);
    server.listen({ ...address, exclusive: true }, () => server.close(() => resolve(undefined)));
  });
}
