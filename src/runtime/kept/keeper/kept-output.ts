import { Socket } from 'node:net';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import type { OutputFile } from './output-file.js';
import type { Rate } from '../../output/rate.js';

export interface KeptOutputOptions {
  /** The read end of a pipe, which this object closes. */
  readonly fd: number;
  readonly file: OutputFile;
  /** Limits of this app, and of all apps together: an app that exceeds one waits. */
  readonly rates: readonly Rate[];
  readonly onData: (bytes: Buffer) => void;
  readonly onFault: (error: Error) => void;
}

/** The most that a pipe holds by default, and so the most that an app can have left there when it ended. */
const largestPipe = 1024 * 1024;

/**
 * Reads an app's output, writes it to its file and passes it on. If the app writes too fast, reading pauses, so that the pipe fills and
 * its writes wait: it can neither fill the disk nor overload this process, and the end of its file has no holes.
 */
export class KeptOutput {
  /** Resolves when all is written, after every process has closed the other end, or after `close`. */
  readonly ended: Promise<void>;
  readonly #options: KeptOutputOptions;
  readonly #pipe: Socket;
  #isBusy = false;
  #hasEnded = false;
  #bytes = 0;
  /** Aborted to end pauses at once. */
  #hurry = new AbortController();

  constructor(options: KeptOutputOptions) {
    this.#options = options;
    this.#pipe = new Socket({ fd: options.fd, readable: true, writable: false });
    this.ended = this.#run();
  }

  /** Call it when the main process has ended; resolves when its output is in the file. Other processes may write on. */
  async drain(): Promise<void> {
    this.#hurry.abort();
    const limit = this.#bytes + largestPipe;
    // Data in the pipe is read in the next turn of the event loop at the latest.
    for (let quietTurns = 0; quietTurns < 3 && this.#bytes < limit && !this.#hasEnded;) {
      const before = this.#bytes;
      await turn();
      const isQuiet = this.#bytes === before && !this.#isBusy && this.#pipe.readableLength === 0;
      quietTurns = isQuiet ? quietTurns + 1 : 0;
    }
    this.#hurry = new AbortController();
  }

  /** Closes the pipe; resolves when all that was read is written. */
  async close(): Promise<void> {
    this.#hurry.abort();
    this.#pipe.destroy();
    await this.ended;
  }

  async #run(): Promise<void> {
    const { file, onFault } = this.#options;
    try {
      for await (const bytes of this.#pipe) await this.#take(bytes as Buffer);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ERR_STREAM_PREMATURE_CLOSE') onFault(error as Error);
    } finally {
      await file.close().catch(onFault);
      this.#hasEnded = true;
    }
  }

  async #take(bytes: Buffer): Promise<void> {
    const { file, rates, onData, onFault } = this.#options;
    this.#isBusy = true;
    this.#bytes += bytes.length;
    onData(bytes);
    // With a full disk only the unwritten bytes are lost.
    await file.append(bytes).catch(onFault);
    const delayMs = Math.max(...rates.map((rate) => rate.spend(bytes.length)));
    if (delayMs > 0) await sleep(delayMs, undefined, { signal: this.#hurry.signal }).catch(() => {});
    this.#isBusy = false;
  }
}
