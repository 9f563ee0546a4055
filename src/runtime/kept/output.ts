import { mkdir, open, readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Clock } from '../../model/clock.js';
import { LineLog, logRateOfAll, logRateOfOne } from '../output/line-log.js';
import { lastWords } from '../output/printable.js';
import { Rate } from '../output/rate.js';
import { outputPaths, removeOutput } from './keeper/output-file.js';
import { isSafeId } from './records.js';

export interface OutputOptions {
  readonly directory: string;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Limit of each instance's files together. */
  readonly maxBytes: number;
  readonly linesPerSecond: number;
}

/** Bytes of a cut character that may precede the wanted part. */
const longestRest = 3;

/** Output of the instances: reads the files that keepers write, and logs what keepers report. */
export class Output {
  readonly #options: OutputOptions;
  readonly #logs = new Map<string, LineLog>();
  readonly #rateOfAll: Rate;
  #closed = false;

  constructor(options: OutputOptions) {
    this.#options = options;
    this.#rateOfAll = this.#rate(logRateOfAll);
  }

  /** Removes the output of instances that no longer exist (`isKnown`). */
  async open(isKnown: (id: string) => Promise<boolean>): Promise<void> {
    const { directory } = this.#options;
    await mkdir(directory, { recursive: true, mode: 0o700 });
    for (const file of await readdir(directory)) {
      const id = file.replace(/\.(log|old|exit)$/, '');
      if (id !== file && isSafeId(id) && !(await isKnown(id))) await rm(join(directory, file), { force: true });
    }
  }

  /** Writes an instance's output to the log; `lost` bytes before it were not reported. */
  log(id: string, app: string, bytes: Buffer, lost: number): void {
    if (this.#closed) return;
    const { logger, clock, linesPerSecond } = this.#options;
    let lines = this.#logs.get(id);
    if (!lines) {
      const rates = { own: this.#rate(logRateOfOne), all: this.#rateOfAll };
      lines = new LineLog({ logger: logger.child({ app, instance: id }), clock, linesPerSecond, rates });
      this.#logs.set(id, lines);
    }
    if (lost > 0) lines.skip(lost);
    lines.write(bytes);
  }

  /** Call it when the main process has ended, to log an unfinished last line. */
  end(id: string): void {
    this.#logs.get(id)?.end();
    this.#logs.delete(id);
  }

  /** The end of its output, printable; '' if there is none. */
  async tail(id: string, maxBytes: number): Promise<string> {
    if (!isSafeId(id)) return '';
    const { current, older } = outputPaths(this.#options.directory, id);
    const length = Math.max(0, Math.min(maxBytes, this.#options.maxBytes));
    // A file that turns between the two reads is read twice rather than not at all, and used once.
    const [last, before] = [await endOf(current, length + longestRest), await endOf(older, length + longestRest)];
    const isTurned = before.inode !== undefined && before.inode === last.inode;
    const bytes = isTurned ? last.bytes : Buffer.concat([before.bytes, last.bytes]);
    const isWhole = bytes.length <= length && before.inode === undefined;
    const end = bytes.subarray(Math.max(0, bytes.length - length));
    return lastWords(isWhole || bytes.length > length ? bytes : fromWholeLine(end), length);
  }

  /** Why it ended, from the note that its keeper left if no dispatcher was there. Removes the note. */
  async takeExit(id: string): Promise<string | undefined> {
    if (!isSafeId(id)) return undefined;
    const { exit } = outputPaths(this.#options.directory, id);
    const cause = await readFile(exit, 'utf8').catch(() => undefined);
    if (cause !== undefined) await rm(exit, { force: true });
    return cause;
  }

  /** Removes an instance's output, which no longer grows and is no longer needed. */
  async remove(id: string): Promise<void> {
    this.end(id);
    if (isSafeId(id)) await removeOutput(this.#options.directory, id);
  }

  #rate({ bytesPerSecond, burst }: typeof logRateOfOne): Rate {
    return new Rate(bytesPerSecond, burst, () => this.#options.clock.monotonic());
  }

  close(): void {
    this.#closed = true;
    for (const id of this.#logs.keys()) this.end(id);
  }
}

interface End {
  readonly bytes: Buffer;
  /** Undefined if there is no file. */
  readonly inode: number | undefined;
}

async function endOf(path: string, maxBytes: number): Promise<End> {
  const file = await open(path, 'r').catch(() => undefined);
  if (!file) return { bytes: Buffer.alloc(0), inode: undefined };
  try {
    const { size, ino } = await file.stat();
    const length = Math.min(size, maxBytes);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length);
    return { bytes: buffer.subarray(0, bytesRead), inode: ino };
  } finally {
    await file.close();
  }
}

/** Drops the rest of a line that was cut. */
function fromWholeLine(bytes: Buffer): Buffer {
  const lineEnd = bytes.indexOf('\n');
  return lineEnd < 0 || lineEnd === bytes.length - 1 ? bytes : bytes.subarray(lineEnd + 1);
}
