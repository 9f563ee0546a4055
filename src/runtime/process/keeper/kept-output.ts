import { Socket } from 'node:net';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import type { OutputFile } from './output-file.js';
import type { Rate } from '../../output/rate.js';

export interface KeptOutputOptions {
  /** The end of a pipe, which is closed here. */
  readonly fd: number;
  readonly file: OutputFile;
  /** Of this app, and of all apps: one that writes faster than one of them waits. */
  readonly rates: readonly Rate[];
  readonly onData: (bytes: Buffer) => void;
  readonly onFault: (error: Error) => void;
}

/** As much as the kernel keeps in a pipe at most, unless root says otherwise: what an app had written when it ended. */
const largestPipe = 1024 * 1024;

/**
 * Reads what an app writes, into its file and to whom it concerns. An app that writes too fast is not read for a moment: the pipe fills, and
 * its writes wait. So it can neither fill the disk nor use up this process, and nothing of what it wrote is missing in the file's end.
 */
export class KeptOutput {
  /** Resolves when nobody holds the other end any longer, or after `close`, and all is written. */
  readonly ended: Promise<void>;
  readonly #options: KeptOutputOptions;
  readonly #pipe: Socket;
  #isBusy = false;
  #hasEnded = false;
  #bytes = 0;
  /** Aborted when nothing is to be waited for any more. */
  #hurry = new AbortController();

  constructor(options: KeptOutputOptions) {
    this.#options = options;
    this.#pipe = new Socket({ fd: options.fd, readable: true, writable: false });
    this.ended = this.#run();
  }

  /** Its main process has ended: resolves when what that wrote is in the file. Others may write on. */
  async drain(): Promise<void> {
    this.#hurry.abort();
    const limit = this.#bytes + largestPipe;
    // What is in the pipe is read in the next turn of the event loop at the latest.
    for (let quietTurns = 0; quietTurns < 3 && this.#bytes < limit && !this.#hasEnded;) {
      const before = this.#bytes;
      await turn();
      const isQuiet = this.#bytes === before && !this.#isBusy && this.#pipe.readableLength === 0;
      quietTurns = isQuiet ? quietTurns + 1 : 0;
    }
    this.#hurry = new AbortController();
  }

  /** Lets go of the pipe; resolves when all that was read is written. */
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
    // A full disk costs what could not be written, and nothing else.
    await file.append(bytes).catch(onFault);
    const delayMs = Math.max(...rates.map((rate) => rate.spend(bytes.length)));
    if (delayMs > 0) await sleep(delayMs, undefined, { signal: this.#hurry.signal }).catch(() => {});
    this.#isBusy = false;
  }
}
