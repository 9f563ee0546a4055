import { accepts, freePort } from './free-port.js';
import type { Processes } from './processes.js';
import { findProgram } from './programs-on-path.js';

/** A private Redis that keeps nothing on disk; its URL, or undefined where there is none on this machine. */
export async function startRedis(processes: Processes, dir: string): Promise<string | undefined> {
  const program = findProgram('redis-server');
  if (program === undefined) return undefined;
  const port = await freePort();
  const options = ['--port', String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'no', '--dir', dir];
  await accepts(port, processes.start('redis-server', [program, ...options]));
  return `redis://127.0.0.1:${port}/0`;
}
