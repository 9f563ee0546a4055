import { closeSync } from 'node:fs';
import type { ProcessIdentity } from '../../../machine/proc-fs.js';
import { type Command, startChild } from '../child.js';
import { KeptOutput } from './kept-output.js';
import type { Kept } from './messages.js';
import { OutputFile, removeOutput } from './output-file.js';
import type { Pipes } from './pipes.js';
import { Rate } from '../../output/rate.js';

export interface KeptAppOptions {
  readonly id: string;
  readonly app: string;
  readonly command: Command;
  readonly pipes: Pipes;
  /** Of the files that hold output, and of each instance's. */
  readonly output: { readonly directory: string; readonly maxBytes: number };
  /** Of what all apps write. */
  readonly rateOfAll: Rate;
  /** Runs what forks. */
  readonly fork: <T>(run: () => T) => T;
  readonly onData: (app: KeptApp, bytes: Buffer) => void;
  /** It has ended, and its file has all that it wrote. */
  readonly onExit: (app: KeptApp) => void;
  readonly onFault: (error: Error) => void;
}

/** Far above what apps write on an ordinary day; who writes faster waits. */
const bytesPerSecond = 4 * 1024 * 1024;
const burstBytes = 16 * 1024 * 1024;

/** An app that this process started, from then until it is released. */
export class KeptApp {
  readonly id: string;
  readonly app: string;
  readonly process: ProcessIdentity;
  cause: string | undefined;
  /** Of its output, what was not told to its dispatcher since it was told some. */
  untold = 0;
  readonly toldRate: Rate;
  readonly #options: KeptAppOptions;
  readonly #output: KeptOutput;
  readonly #ended: Promise<void>;

  /** Rejects with the system's error if the command cannot be run. */
  static async start(options: KeptAppOptions, toldRate: Rate): Promise<KeptApp> {
    const { command, pipes, fork } = options;
    const { read, write } = await pipes.take(command.owner ?? command);
    try {
      let exited: (cause: string) => void = () => {};
      const exit = new Promise<string>((resolve) => (exited = resolve));
      const identity = await fork(() => startChild(command, write, exited));
      return new KeptApp(options, toldRate, identity, read, exit);
    } catch (error) {
      closeSync(read);
      throw error;
    } finally {
      closeSync(write);
    }
  }

  private constructor(
    options: KeptAppOptions,
    toldRate: Rate,
    identity: ProcessIdentity,
    fd: number,
    exit: Promise<string>,
  ) {
    const { id, app, output, rateOfAll, onData, onFault } = options;
    this.id = id;
    this.app = app;
    this.process = identity;
    this.toldRate = toldRate;
    this.#options = options;
    const rate = new Rate(bytesPerSecond, burstBytes, () => performance.now());
    this.#output = new KeptOutput({
      fd,
      file: new OutputFile(output.directory, id, output.maxBytes),
      rates: [rate, rateOfAll],
      onData: (bytes) => onData(this, bytes),
      onFault,
    });
    this.#ended = exit.then((cause) => this.#onExit(cause));
  }

  get hasEnded(): boolean {
    return this.cause !== undefined;
  }

  get kept(): Kept {
    const { id, app, process: identity, cause } = this;
    return { id, app, process: identity, cause };
  }

  /** Kills it if it still runs, and removes its output. */
  async release(): Promise<void> {
    if (!this.hasEnded) kill(this.process.pid);
    await this.#ended;
    await this.#output.close();
    await removeOutput(this.#options.output.directory, this.id);
  }

  async #onExit(cause: string): Promise<void> {
    await this.#output.drain();
    this.cause = cause;
    this.#options.onExit(this);
  }
}

/** A child that was not reaped keeps its number. */
function kill(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // It has just ended; its exit is on its way.
  }
}
