// A process of its own for start.test.ts: `start` with a daemon that only tells what it is asked to do.
import { createServer } from 'node:net';
import type { DaemonOptions } from '../../src/daemon/daemon.js';
import { start } from '../../src/cli/start.js';

const [config = '', mood = ''] = process.argv.slice(2);

process.exit(
  await start({ config, stopApps: mood === 'stop-apps' }, ({ logger, stopApps, config }: DaemonOptions) => ({
    start: async () => {
      if (mood === 'taken') await listenTwice();
      if (mood === 'broken') throw new Error('the moon is full');
      // Something that keeps the process alive, as sockets do.
      createServer().listen(0, '127.0.0.1');
      if (mood === 'throws') setImmediate(() => void Promise.reject(new Error('nobody catches me')));
      logger.info({ stopApps }, 'fake starts');
      const http = config.listen.http.map(({ port }) => `http://127.0.0.1:${port}`);
      return { http, https: [], admin: 'http://127.0.0.1:8081' };
    },
    reload: async () => logger.info('fake reloads'),
    close: async () => {
      logger.info('fake closes');
      if (mood === 'stuck') await new Promise(() => {});
      return mood === 'leaves' ? { containers: 3, apps: ['a', 'b'] } : undefined;
    },
    destroy: async () => logger.info('fake is destroyed'),
  })),
);

function listenTwice(): Promise<void> {
  return new Promise((_resolve, reject) => {
    const first = createServer().listen(0, '127.0.0.1', () => {
      const { port } = first.address() as { port: number };
      createServer().on('error', reject).listen(port, '127.0.0.1');
    });
  });
}
