import { closeSync } from 'node:fs';
import type { ProcessIdentity } from '../../../machine/proc-fs.js';
import { signalTo } from '../../../machine/signal-to.js';
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
  /** Directory of the files with output, and limit of each instance's. */
  readonly output: { readonly directory: string; readonly maxBytes: number };
  /** Limit of what all apps write together. */
  readonly rateOfAll: Rate;
  /** Runs a function that forks. */
  readonly fork: <T>(run: () => T) => T;
  readonly onData: (app: KeptApp, bytes: Buffer) => void;
  /** Called when the app has ended and its file has all that it wrote. */
  readonly onExit: (app: KeptApp) => void;
  readonly onFault: (error: Error) => void;
}

/** Limits of what one app writes, far above the usual; a faster one waits. */
const bytesPerSecond = 4 * 1024 * 1024;
const burstBytes = 16 * 1024 * 1024;

/** An app that this process started, until it is released. */
export class KeptApp {
  readonly id: string;
  readonly app: string;
  readonly process: ProcessIdentity;
  cause: string | undefined;
  #endedAt: number | undefined;
  /** Bytes of output not sent to the dispatcher since the last that was. */
  untold = 0;
  readonly toldRate: Rate;
  readonly #options: KeptAppOptions;
  readonly #output: KeptOutput;
  readonly #ended: Promise<void>;

  /** Starts the app; rejects with the system's error if the command cannot be run. */
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
    return { id, app, process: identity, cause, endedAt: this.#endedAt };
  }

  /** Kills it if it still runs, and removes its output. */
  async release(): Promise<void> {
    // Its group, whose number cannot be reused before it is reaped.
    if (!this.hasEnded) signalTo(-this.process.pid, 'SIGKILL');
    await this.#ended;
    await this.#output.close();
    await removeOutput(this.#options.output.directory, this.id);
  }

  async #onExit(cause: string): Promise<void> {
    this.#endedAt = Date.now();
    await this.#output.drain();
    this.cause = cause;
    this.#options.onExit(this);
  }
}
