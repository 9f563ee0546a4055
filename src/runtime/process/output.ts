import { appendFileSync, fstatSync, type FSWatcher, ftruncateSync, readSync, watch } from 'node:fs';
import { type FileHandle, mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Logger } from 'pino';
import type { Clock } from '../../model/clock.js';

export interface OutputOptions {
  readonly directory: string;
  readonly logger: Logger;
  readonly clock: Clock;
  /** A file that grows beyond this loses its older half. */
  readonly maxBytes: number;
  readonly linesPerSecond: number;
}

interface Followed {
  readonly logger: Logger;
  offset: number;
  rest: string;
  reading: Promise<void> | undefined;
  again: boolean;
  second: number;
  lines: number;
  dropped: number;
}

const longestLine = 2_000;
const readBytes = 64 * 1024;

/**
 * Output of the instances: a file each, which the process writes to itself, so that it outlives the dispatcher. Here the
 * files are kept within their size and followed into the log, by the kernel's notice of a change, not by polling.
 */
export class Output {
  readonly #options: OutputOptions;
  readonly #followed = new Map<string, Followed>();
  #watcher: FSWatcher | undefined;

  constructor(options: OutputOptions) {
    this.#options = options;
  }

  async open(): Promise<void> {
    await mkdir(this.#options.directory, { recursive: true, mode: 0o700 });
    this.#watcher = watch(this.#options.directory, { persistent: false }, (_event, file) => {
      if (file?.endsWith('.log')) void this.#read(file.slice(0, -'.log'.length));
    });
  }

  /** A file to hand to a process as stdout and stderr. The caller closes it. */
  create(id: string): Promise<FileHandle> {
    return open(this.#path(id), 'a', 0o600);
  }

  /** Writes the instance's lines to the log from now on; with `fromEnd`, without what is there already. */
  async follow(id: string, app: string, fromEnd: boolean): Promise<void> {
    const offset = fromEnd ? await this.#size(id) : 0;
    const logger = this.#options.logger.child({ app, instance: id });
    const none = { rest: '', reading: undefined, again: false, second: 0, lines: 0, dropped: 0 };
    this.#followed.set(id, { logger, offset, ...none });
    await this.#read(id);
  }

  /** The last bytes of the file; '' where there is none. */
  async tail(id: string, maxBytes: number): Promise<string> {
    const file = await open(this.#path(id), 'r').catch(() => undefined);
    if (!file) return '';
    try {
      const { size } = await file.stat();
      const length = Math.min(size, maxBytes);
      const { buffer } = await file.read(Buffer.alloc(length), 0, length, size - length);
      return buffer.toString('utf8');
    } finally {
      await file.close();
    }
  }

  async remove(id: string): Promise<void> {
    await this.#read(id);
    this.#followed.delete(id);
    await rm(this.#path(id), { force: true });
  }

  close(): void {
    this.#watcher?.close();
    this.#followed.clear();
  }

  async #read(id: string): Promise<void> {
    const followed = this.#followed.get(id);
    if (!followed) return;
    followed.again = true;
    followed.reading ??= this.#readNew(id, followed).finally(() => {
      followed.reading = undefined;
    });
    await followed.reading;
  }

  async #readNew(id: string, followed: Followed): Promise<void> {
    const file = await open(this.#path(id), 'r+').catch(() => undefined);
    if (!file) return;
    try {
      while (followed.again) {
        followed.again = false;
        const { size } = await file.stat();
        if (size < followed.offset) followed.offset = 0;
        while (followed.offset < size) {
          const length = Math.min(readBytes, size - followed.offset);
          const { bytesRead, buffer } = await file.read(Buffer.alloc(length), 0, length, followed.offset);
          if (bytesRead === 0) break;
          followed.offset += bytesRead;
          this.#log(followed, buffer.toString('utf8', 0, bytesRead));
        }
        if (size > this.#options.maxBytes) this.#shrink(id, file, followed);
      }
    } finally {
      await file.close();
    }
  }

  /**
   * The process appends, so what is kept can be written in front of what comes. In one go, without giving way: what it
   * writes between the reading and the truncating is lost.
   */
  #shrink(id: string, file: FileHandle, followed: Followed): void {
    const { size } = fstatSync(file.fd);
    const kept = Buffer.alloc(Math.min(size, Math.floor(this.#options.maxBytes / 2)));
    const length = readSync(file.fd, kept, 0, kept.length, size - kept.length);
    ftruncateSync(file.fd, 0);
    appendFileSync(this.#path(id), kept.subarray(0, length));
    followed.offset = length;
  }

  #log(followed: Followed, text: string): void {
    const lines = (followed.rest + text).split('\n');
    const rest = lines.pop() ?? '';
    followed.rest = rest.slice(0, longestLine);
    for (const line of lines) this.#logLine(followed, line);
  }

  #logLine(followed: Followed, line: string): void {
    const second = Math.floor(this.#options.clock.monotonic() / 1_000);
    if (second !== followed.second) {
      if (followed.dropped > 0)
        followed.logger.warn(`${followed.dropped} lines of output dropped: too many per second`);
      followed.second = second;
      followed.lines = 0;
      followed.dropped = 0;
    }
    followed.lines += 1;
    if (followed.lines > this.#options.linesPerSecond) followed.dropped += 1;
    else followed.logger.info({ output: line.slice(0, longestLine) }, 'output');
  }

  async #size(id: string): Promise<number> {
    const file = await open(this.#path(id), 'r').catch(() => undefined);
    if (!file) return 0;
    const { size } = await file.stat();
    await file.close();
    return size;
  }

  #path(id: string): string {
    return join(this.#options.directory, `${id}.log`);
  }
}
