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
  /** Of each instance's files together. */
  readonly maxBytes: number;
  readonly linesPerSecond: number;
}

/** Bytes of a character that may stand before what is asked for. */
const longestRest = 3;

/** Output of the instances: the files that their keepers write, and what these tell of it, which goes to the log. */
export class Output {
  readonly #options: OutputOptions;
  readonly #logs = new Map<string, LineLog>();
  readonly #rateOfAll: Rate;
  #closed = false;

  constructor(options: OutputOptions) {
    this.#options = options;
    this.#rateOfAll = this.#rate(logRateOfAll);
  }

  /** `isKnown`: whether an instance still exists; what others wrote is removed. */
  async open(isKnown: (id: string) => Promise<boolean>): Promise<void> {
    const { directory } = this.#options;
    await mkdir(directory, { recursive: true, mode: 0o700 });
    for (const file of await readdir(directory)) {
      const id = file.replace(/\.(log|old|exit)$/, '');
      if (id !== file && isSafeId(id) && !(await isKnown(id))) await rm(join(directory, file), { force: true });
    }
  }

  /** Writes what an instance has written to the log; `lost` bytes before it were not told. */
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

  /** Its main process has ended: the last line needs no end. */
  end(id: string): void {
    this.#logs.get(id)?.end();
    this.#logs.delete(id);
  }

  /** The last of what it wrote, printable; '' where there is nothing. */
  async tail(id: string, maxBytes: number): Promise<string> {
    if (!isSafeId(id)) return '';
    const { current, older } = outputPaths(this.#options.directory, id);
    const length = Math.max(0, Math.min(maxBytes, this.#options.maxBytes));
    // What is turned over between the two is read twice rather than not at all, and no more than is asked for.
    const [last, before] = [await endOf(current, length + longestRest), await endOf(older, length + longestRest)];
    const isTurned = before.inode !== undefined && before.inode === last.inode;
    const bytes = isTurned ? last.bytes : Buffer.concat([before.bytes, last.bytes]);
    const isWhole = bytes.length <= length && before.inode === undefined;
    const end = bytes.subarray(Math.max(0, bytes.length - length));
    return lastWords(isWhole || bytes.length > length ? bytes : fromWholeLine(end), length);
  }

  /** Why it ended, as its keeper wrote down when no dispatcher was there; said once. */
  async takeExit(id: string): Promise<string | undefined> {
    if (!isSafeId(id)) return undefined;
    const { exit } = outputPaths(this.#options.directory, id);
    const cause = await readFile(exit, 'utf8').catch(() => undefined);
    if (cause !== undefined) await rm(exit, { force: true });
    return cause;
  }

  /** Nothing more comes of it, and nobody asks for it again. */
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
  /** Undefined where there is no file. */
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

/** Drops what is left of a line that was cut. */
function fromWholeLine(bytes: Buffer): Buffer {
  const lineEnd = bytes.indexOf('\n');
  return lineEnd < 0 || lineEnd === bytes.length - 1 ? bytes : bytes.subarray(lineEnd + 1);
}
