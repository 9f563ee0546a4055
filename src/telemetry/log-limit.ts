import type { Logger } from 'pino';
import type { Clock } from '../model/clock.js';

export interface LogLimitOptions {
  readonly logger: Logger;
  readonly clock: Clock;
  /** Lines per key and interval; 10 by default. */
  readonly lines?: number;
  /** 10 s by default. */
  readonly intervalMs?: number;
  /** Keys that are remembered at a time; 1,000 by default. */
  readonly maxKeys?: number;
}

interface Window {
  readonly from: number;
  lines: number;
}

/** Bounds log lines that clients can cause: writes so many per key and interval, then how many were left out. */
export class LogLimit {
  readonly #options: Required<LogLimitOptions>;
  readonly #windows = new Map<string, Window>();

  constructor(options: LogLimitOptions) {
    this.#options = { lines: 10, intervalMs: 10_000, maxKeys: 1_000, ...options };
  }

  log(
    key: string,
    fields: Record<string, unknown>,
    message: string,
    level: 'debug' | 'info' | 'warn' | 'error' = 'warn',
  ): void {
    const { logger, clock, lines, intervalMs } = this.#options;
    const now = clock.monotonic();
    let window = this.#windows.get(key);
    if (!window || now - window.from >= intervalMs) {
      if (window && window.lines > lines)
        logger.warn({ key }, `${window.lines - lines} more lines like these were left out`);
      window = this.#open(key, now);
    }
    window.lines += 1;
    if (window.lines <= lines) logger[level](fields, message);
  }

  #open(key: string, from: number): Window {
    if (this.#windows.size >= this.#options.maxKeys) this.#windows.clear();
    const window = { from, lines: 0 };
    this.#windows.set(key, window);
    return window;
  }
}
