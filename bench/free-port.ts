import { type AddressInfo, connect, createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import type { StartedProcess } from './processes.js';

/** A port of loopback that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Resolves when a port accepts connections; rejects when the process ends first, or after 30 s. */
export async function accepts(port: number, process: StartedProcess, host = '127.0.0.1'): Promise<void> {
  const limit = performance.now() + 30_000;
  while (!(await Promise.race([connects(port, host), process.ended]))) {
    if (performance.now() > limit) throw new Error(`${process.name} does not listen on port ${port}`);
    await sleep(10);
  }
}

/** Whether a connection is accepted. */
export function connects(port: number, host = '127.0.0.1'): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const end = (accepted: boolean) => {
      socket.destroy();
      resolve(accepted);
    };
    socket.once('connect', () => end(true)).once('error', () => end(false));
  });
}
