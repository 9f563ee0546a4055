import { createServer } from 'node:net';
import { int, type Random } from '../load/random.js';

/** Below those that the kernel gives to clients: a port has to be free again each time its daemon is restarted. */
const from = 15_000;
const to = 16_999;

/** So many ports that nobody listens on. Rejects where there are not. */
export async function freePorts(count: number, random: Random): Promise<number[]> {
  const found = new Set<number>();
  for (let attempt = 0; attempt < 1_000 && found.size < count; attempt += 1) {
    const port = from + int(random, to - from + 1);
    if (await isFree(port)) found.add(port);
  }
  if (found.size < count) throw new Error(`there are no ${count} free ports from ${from} to ${to}`);
  return [...found];
}

async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  const free = await new Promise<boolean>((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => resolve(true));
  });
  await new Promise((resolve) => server.close(resolve));
  return free;
}
