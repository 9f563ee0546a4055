import { fileURLToPath } from 'node:url';
import type { Logger } from 'pino';
import type { Clock } from '../../model/clock.js';
import type { ProcessIdentity } from '../../proc-fs.js';
import { type Command, startChild } from './child.js';
import { end } from './end.js';
import { LauncherProcess, type Parent } from './launcher-process.js';
import { findMain } from './members.js';
import type { ProcessRecord } from './records.js';

export interface LauncherOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  /** What a launcher runs; launcher-main.ts unless told. */
  readonly script?: string;
}

export interface Launch extends Parent {
  /** By which the process is found, should the launcher end with it in hand. */
  readonly record: ProcessRecord;
  readonly command: Command;
  /** The file that takes stdout and stderr. */
  readonly output: { readonly fd: number; readonly path: string };
}

/** A launcher that ends again and again is not started for each app anew. */
const restMs = 10_000;
const launcherMain = fileURLToPath(new URL('./launcher-main.js', import.meta.url));

/**
 * Starts the processes of apps: by a small process beside this one, which forks many times faster, and where that is not
 * there, not yet ready, or does not answer, as children of this process. Started with the first app.
 */
export class Launcher {
  readonly #options: LauncherOptions;
  #process: LauncherProcess | undefined;
  #startAfter = -Infinity;
  #closed = false;

  constructor(options: LauncherOptions) {
    this.#options = options;
  }

  /** Resolves once the process runs; rejects with the system's error. It was then not started, or has been ended. */
  async start(launch: Launch): Promise<ProcessIdentity> {
    const launched = this.#process?.isReady ? await this.#by(this.#process, launch) : undefined;
    if (launched) return launched;
    const { command, output, onExit } = launch;
    try {
      return await startChild(command, output.fd, onExit);
    } finally {
      this.#prepare();
    }
  }

  /** Ends the launcher; what it started runs on. Re-entrant. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#process?.close();
  }

  /** Undefined where it was not started. */
  async #by(process: LauncherProcess, launch: Launch): Promise<ProcessIdentity | undefined> {
    const { command, output, record, onOrphaned } = launch;
    const launched = await process.launch(command, output.path, launch);
    if (launched.outcome === 'started') return launched.process;
    if (launched.outcome === 'declined') return undefined;
    const found = await findMain(record);
    if (found) onOrphaned(found);
    // What an app left that has ended already must not meet the one that is started in its place.
    else await end(record, { graceMs: 0, clock: this.#options.clock });
    return found;
  }

  #prepare(): void {
    const { clock, logger, script = launcherMain } = this.#options;
    if (this.#closed || this.#process || clock.monotonic() < this.#startAfter) return;
    this.#startAfter = clock.monotonic() + restMs;
    try {
      const onReady = () => logger.trace({ pid: process.pid }, 'the launcher is ready');
      const process: LauncherProcess = new LauncherProcess({ script, clock, onReady });
      this.#process = process;
      void process.ended.then((cause) => this.#onEnded(process, cause));
    } catch (error) {
      logger.warn({ err: error }, 'cannot start the launcher; the dispatcher goes on starting processes itself');
    }
  }

  #onEnded({ pid }: LauncherProcess, cause: string): void {
    this.#process = undefined;
    if (this.#closed) return;
    this.#options.logger.warn(
      { pid, cause },
      'the launcher ended; the dispatcher starts processes itself, more slowly, until another one is ready',
    );
  }
}
