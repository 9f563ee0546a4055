import { StringDecoder } from 'node:string_decoder';
import type { Logger } from 'pino';
import type { Clock, Timer } from '../../model/clock.js';
import { printable } from '../../model/printable.js';
import type { Rate } from './rate.js';

export interface LineLogOptions {
  /** A logger with the fields app and instance. */
  readonly logger: Logger;
  readonly clock: Clock;
  readonly linesPerSecond: number;
  /** Limits of what this instance, and all together, may write to the log: `logRateOfOne`, `logRateOfAll`. */
  readonly rates: { readonly own: Rate; readonly all: Rate };
}

const longestLine = 2_000;
const windowMs = 1_000;
/** Interval between log lines about what was dropped. */
const reportMs = 10_000;
/** Approximate bytes of a log line besides its text: time, level, app, instance. */
const lineBytes = 150;

/** Limit of one instance in the log: about 1.4 GB a day, and a stack trace or two at once. */
export const logRateOfOne = { bytesPerSecond: 16 * 1024, burst: 256 * 1024 };
/** Limit of all instances of a dispatcher together: about 22 GB a day. */
export const logRateOfAll = { bytesPerSecond: 256 * 1024, burst: 2 * 1024 * 1024 };

/**
 * Writes an instance's output to the log line by line, within limits of lines and bytes a second; every ten seconds it logs how much
 * was dropped. The log stays readable whatever the bytes are.
 */
export class LineLog {
  readonly #options: LineLogOptions;
  #decoder = new StringDecoder('utf8');
  /** The unfinished line, cut to its limit. */
  #rest = '';
  #windowEnd = 0;
  #lines = 0;
  #dropped = 0;
  #droppedBytes = 0;
  #unreadBytes = 0;
  #report: Timer | undefined;

  constructor(options: LineLogOptions) {
    this.#options = options;
  }

  write(chunk: Buffer): void {
    const lines = this.#decoder.write(chunk).split('\n');
    lines[0] = this.#rest + (lines[0] ?? '');
    this.#rest = (lines.pop() ?? '').slice(0, longestLine + 1);
    for (const line of lines) this.#line(line);
  }

  /** Call it when `bytes` were not read because they came too fast; what comes next begins a new line. */
  skip(bytes: number): void {
    this.#endLine();
    this.#unreadBytes += bytes;
    this.#reportLater();
  }

  /** Call it when nothing more comes: writes the unfinished line, and how much was dropped. */
  end(): void {
    this.#endLine();
    this.#reportNow();
  }

  #endLine(): void {
    const rest = this.#rest + this.#decoder.end();
    this.#decoder = new StringDecoder('utf8');
    this.#rest = '';
    this.#line(rest);
  }

  #line(line: string): void {
    const { logger, clock, linesPerSecond, rates } = this.#options;
    const written = line.endsWith('\r') ? line.slice(0, -1) : line;
    if (written === '') return;
    const text = printable(written.length > longestLine ? `${written.slice(0, longestLine - 1)}…` : written);
    if (clock.monotonic() >= this.#windowEnd) {
      this.#windowEnd = clock.monotonic() + windowMs;
      this.#lines = 0;
    }
    this.#lines += 1;
    const bytes = Buffer.byteLength(text) + lineBytes;
    if (this.#lines <= linesPerSecond && rates.own.take(bytes) && rates.all.take(bytes)) {
      logger.info({ output: text }, 'output');
      return;
    }
    this.#dropped += 1;
    this.#droppedBytes += bytes - lineBytes;
    this.#reportLater();
  }

  #reportLater(): void {
    this.#report ??= this.#options.clock.after(reportMs, () => this.#reportNow());
  }

  #reportNow(): void {
    this.#report?.cancel();
    this.#report = undefined;
    const { logger, linesPerSecond } = this.#options;
    const [lines, droppedBytes, unreadBytes] = [this.#dropped, this.#droppedBytes, this.#unreadBytes];
    this.#dropped = 0;
    this.#droppedBytes = 0;
    this.#unreadBytes = 0;
    if (lines === 0 && unreadBytes === 0) return;
    const unread = unreadBytes > 0 ? ` and ${unreadBytes} bytes unread` : '';
    const limits = `${linesPerSecond} lines or ${logRateOfOne.bytesPerSecond} bytes a second`;
    logger.warn(
      { droppedLines: lines, droppedBytes: droppedBytes + unreadBytes },
      `${lines} lines of output dropped${unread}: the app writes more than ${limits}, or all apps together write too much`,
    );
  }
}
