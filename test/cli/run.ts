import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

export const mainScript = fileURLToPath(new URL('../../src/main.js', import.meta.url));

export interface Finished {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a compiled script as its own process until it ends. */
export function run(
  args: readonly string[],
  options: { env?: Record<string, string>; cwd?: string } = {},
): Promise<Finished> {
  const child = start(args, options);
  let [stdout, stderr] = ['', ''];
  child.stdout!.on('data', (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr!.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  return new Promise((resolve) => child.on('close', (code) => resolve({ code, stdout, stderr })));
}

export interface Running {
  readonly child: ChildProcess;
  /** The first log line, from the last one that was asked for, that holds this text in its message. */
  line(text: string): Promise<Record<string, unknown>>;
  readonly ended: Promise<number | null>;
}

/** Runs a compiled script that logs JSON lines. */
export function follow(args: readonly string[], env: Record<string, string> = {}): Running {
  const child = start(args, { env });
  child.stderr!.pipe(process.stderr);
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  const ended = new Promise<number | null>((resolve) => child.on('close', resolve));
  const line = async (text: string): Promise<Record<string, unknown>> => {
    for (;;) {
      const { value, done } = await lines.next();
      if (done) throw new Error(`the process ended without the line ${JSON.stringify(text)}`);
      const record = JSON.parse(value) as Record<string, unknown>;
      if (String(record['msg']).includes(text)) return record;
    }
  };
  return { child, line, ended };
}

function start(
  args: readonly string[],
  { env = {}, cwd }: { env?: Record<string, string>; cwd?: string },
): ChildProcess {
  const { PATH = '' } = process.env;
  return spawn(process.execPath, [...args], {
    env: { PATH, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(cwd && { cwd }),
  });
}
