import { StringDecoder } from 'node:string_decoder';
import type { Logger } from 'pino';
import type { Clock, Timer } from '../../model/clock.js';

export interface LineLogOptions {
  /** Carries app and instance. */
  readonly logger: Logger;
  readonly clock: Clock;
  readonly linesPerSecond: number;
}

const longestLine = 2_000;
const windowMs = 1_000;

/**
 * Cuts an instance's output into lines and writes them to the log, so many a second at most; how many were dropped
 * beyond that is said at the end of the second. Whatever the bytes are, the log stays readable.
 */
export class LineLog {
  readonly #options: LineLogOptions;
  #decoder = new StringDecoder('utf8');
  /** The line that has not ended, cut to its limit. */
  #rest = '';
  #windowEnd = 0;
  #lines = 0;
  #dropped = 0;
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

  /** So much was not read, as it came too fast; what comes next does not continue the line before. */
  skip(bytes: number): void {
    this.#endLine();
    this.#unreadBytes += bytes;
    this.#reportLater();
  }

  /** Nothing more comes: writes what has no line end, and what was dropped. */
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
    const { logger, clock, linesPerSecond } = this.#options;
    const text = line.endsWith('\r') ? line.slice(0, -1) : line;
    if (text === '') return;
    if (clock.monotonic() >= this.#windowEnd) {
      this.#windowEnd = clock.monotonic() + windowMs;
      this.#lines = 0;
    }
    this.#lines += 1;
    if (this.#lines <= linesPerSecond) {
      logger.info({ output: text.length > longestLine ? `${text.slice(0, longestLine - 1)}…` : text }, 'output');
      return;
    }
    this.#dropped += 1;
    this.#reportLater();
  }

  #reportLater(): void {
    const { clock } = this.#options;
    this.#report ??= clock.after(Math.max(0, this.#windowEnd - clock.monotonic()), () => this.#reportNow());
  }

  #reportNow(): void {
    this.#report?.cancel();
    this.#report = undefined;
    const { logger, linesPerSecond } = this.#options;
    const [lines, bytes] = [this.#dropped, this.#unreadBytes];
    this.#dropped = 0;
    this.#unreadBytes = 0;
    const unread = bytes > 0 ? ` and ${bytes} bytes unread` : '';
    if (lines > 0 || bytes > 0) {
      logger.warn(
        `${lines} lines of output dropped${unread}: the app writes more than ${linesPerSecond} lines a second`,
      );
    }
  }
}
