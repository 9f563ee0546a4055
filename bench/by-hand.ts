import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { ask } from './ask.js';
import { connects, freePort } from './free-port.js';

const pauseMs = 1;
const limitMs = 30_000;

/** Starts a command as a user would by hand, connects until it listens, asks once, and ends it. Milliseconds in all. */
export async function processByHand(command: readonly string[]): Promise<number> {
  const port = await freePort();
  const from = performance.now();
  const [program = '', ...args] = command;
  const { PATH = '' } = process.env;
  const env = { PATH, HOST: '127.0.0.1', PORT: String(port) };
  const child = spawn(program, args, { stdio: 'ignore', detached: true, env });
  try {
    await listens('127.0.0.1', port);
    await answers(port, '127.0.0.1');
    return performance.now() - from;
  } finally {
    if (child.kill('SIGKILL')) await once(child, 'exit');
  }
}

/** Resolves when an address accepts connections; looks every millisecond. */
export async function listens(host: string, port: number): Promise<void> {
  const limit = performance.now() + limitMs;
  while (!(await connects(port, host))) {
    if (performance.now() > limit) throw new Error(`what was started by hand does not listen on ${host}:${port}`);
    await sleep(pauseMs);
  }
}

/** One request; throws unless it is answered 200. */
export async function answers(port: number, host: string): Promise<void> {
  const { status, body } = await ask(port, 'byhand.localhost', host);
  if (status !== 200) throw new Error(`what was started by hand answered ${status}: ${body}`);
}
