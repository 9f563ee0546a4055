import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface, type Interface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

export interface StartedProcess {
  readonly name: string;
  readonly pid: number;
  /** What it writes to stdout. */
  readonly lines: Interface;
  /** The latest lines of a log in JSON with a level of warning or above. */
  readonly complaints: readonly string[];
  /** Rejects, naming the process and the end of what it wrote to stderr, when it ends before `stop`. Never resolves. */
  readonly ended: Promise<never>;
  /** SIGTERM, and SIGKILL when that does not help within two minutes. Re-entrant. */
  stop(): Promise<void>;
}

/** A dispatcher ends its apps first, on a busy machine hundreds of them. */
const stopLimitMs = 120_000;
const keptErrorBytes = 2_000;
const keptComplaints = 5;
/** The beginning of such a line as the dispatcher writes it. */
const isComplaint = /^\{"level":"(?:warn|error|fatal)"/;

/** The programs that a part has started; `stopAll` ends them, the last one first. */
export class Processes {
  readonly #started: StartedProcess[] = [];

  start(name: string, command: readonly string[], env: Readonly<Record<string, string>> = {}): StartedProcess {
    const [program = '', ...args] = command;
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
    const started = supervise(name, child);
    this.#started.push(started);
    return started;
  }

  /** The latest warnings and errors in the logs of what was started, for whoever looks into a failure. */
  complaints(): string[] {
    return this.#started.flatMap(({ name, complaints }) => complaints.map((line) => `${name}: ${line}`));
  }

  async stopAll(): Promise<void> {
    while (this.#started.length > 0) await this.#started.pop()?.stop();
  }
}

function supervise(name: string, child: ChildProcess & { stdout: object | null }): StartedProcess {
  let errors = '';
  let isStopping = false;
  child.stderr?.on('data', (chunk: Buffer) => (errors = (errors + chunk.toString()).slice(-keptErrorBytes)));
  const exited = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message));
    child.once('exit', (code, signal) => resolve(signal ? `signal ${signal}` : `exit code ${code}`));
  });
  const ended = exited.then((how) => {
    if (isStopping) return new Promise<never>(() => {});
    throw new Error(`${name} ended (${how}): ${errors.trim() || 'it wrote nothing to stderr'}`);
  });
  // Whoever waits for it hears of it; nobody has to.
  ended.catch(() => {});
  const complaints: string[] = [];
  const lines = createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
    if (isComplaint.test(line)) complaints.push(line);
    if (complaints.length > keptComplaints) complaints.shift();
  });
  return {
    name,
    complaints,
    pid: child.pid ?? 0,
    lines,
    ended,
    async stop() {
      isStopping = true;
      child.kill('SIGTERM');
      const limit = new AbortController();
      await Promise.race([exited, sleep(stopLimitMs, undefined, { signal: limit.signal }).catch(() => {})]);
      limit.abort();
      child.kill('SIGKILL');
      await exited;
    },
  };
}
