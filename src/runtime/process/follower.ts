import { fstatSync, type FSWatcher, ftruncateSync, readSync, watch, writeSync } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import type { Clock, Timer } from '../../model/clock.js';
import type { LineLog } from './line-log.js';

export interface FollowerOptions {
  readonly path: string;
  readonly lines: LineLog;
  readonly clock: Clock;
  /** A file that grows beyond this loses its older half, and more. */
  readonly maxBytes: number;
  /** Where to begin; the file's end where it is undefined. */
  readonly offset: number | undefined;
  /** The kernel cannot watch the file; it is looked at every second instead. */
  readonly onUnwatchable: (error: unknown) => void;
  /** There is no file any more; it is not followed any longer. */
  readonly onGone: () => void;
}

/** However fast an app writes, its file is read this often and this much at a time at most. */
const passPauseMs = 100;
const passBytes = 256 * 1024;
const unwatchedPauseMs = 1_000;
/** An app that writes faster than its output can be copied loses some of it. */
const mostRounds = 100;

/**
 * Follows a file that a process appends to, and keeps it within its size. Woken by the kernel's notice of a change; as
 * each write is a notice, the watch is taken off after the first one until that has been read and a pause is over.
 */
export class Follower {
  readonly #options: FollowerOptions;
  #offset: number | undefined;
  #watcher: FSWatcher | undefined;
  #timer: Timer | undefined;
  #pass: Promise<void> = Promise.resolve();
  #passing = false;
  #stopped = false;

  constructor(options: FollowerOptions) {
    this.#options = options;
    this.#offset = options.offset;
  }

  start(): void {
    this.#wake();
  }

  /** Lets go of the file, which stays as it is. */
  stop(): void {
    this.#stopped = true;
    this.#unwatch();
    this.#timer?.cancel();
  }

  /** Reads what is left, then lets go. */
  async finish(): Promise<void> {
    this.stop();
    await this.#pass;
    await this.#readNew();
    this.#options.lines.end();
  }

  #end(): void {
    this.stop();
    this.#options.lines.end();
    this.#options.onGone();
  }

  #wake(): void {
    if (this.#stopped || this.#passing) return;
    this.#unwatch();
    this.#passing = true;
    this.#pass = this.#readNew().then(() => {
      this.#passing = false;
      this.#later(passPauseMs);
    });
  }

  #later(pauseMs: number): void {
    this.#timer?.cancel();
    if (!this.#stopped) this.#timer = this.#options.clock.after(pauseMs, () => void this.#wakeOrWatch());
  }

  async #wakeOrWatch(): Promise<void> {
    this.#watch();
    // What was written before the watch was on made no notice.
    const size = await sizeOf(this.#options.path);
    if (size !== undefined && size !== this.#offset) this.#wake();
  }

  #watch(): void {
    if (this.#stopped || this.#watcher) return;
    try {
      this.#watcher = watch(this.#options.path, { persistent: false }, () => this.#watcher && this.#wake());
      this.#watcher.on('error', () => {
        this.#unwatch();
        this.#later(unwatchedPauseMs);
      });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
      this.#options.onUnwatchable(error);
      this.#later(unwatchedPauseMs);
    }
  }

  #unwatch(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
  }

  async #readNew(): Promise<void> {
    const file = await open(this.#options.path, 'r+').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT' && !this.#stopped) this.#end();
    });
    if (!file) return;
    try {
      await this.#readFile(file);
    } catch {
      // A disk error here must not end the dispatcher; the next notice tries again.
    } finally {
      await file.close();
    }
  }

  async #readFile(file: FileHandle): Promise<void> {
    const { lines, maxBytes } = this.#options;
    const { size } = await file.stat();
    let offset = Math.min(this.#offset ?? size, size);
    if (size - offset > passBytes) {
      lines.skip(size - offset - passBytes);
      offset = size - passBytes;
    }
    if (size > offset) {
      const length = size - offset;
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafe(length), 0, length, offset);
      lines.write(buffer.subarray(0, bytesRead));
      offset += bytesRead;
    }
    this.#offset = size > maxBytes ? shrink(file.fd, offset, Math.floor(maxBytes / 2)) : offset;
  }
}

/**
 * Keeps the end of the file, from a line's beginning; returns where `offset` is now. The end is copied to the beginning, then
 * what was appended meanwhile, until nothing was; only then is the rest cut off. So what the process writes last stays last,
 * and only what it writes between that last look and the cut is lost. Without a break, so that few rounds are enough.
 */
function shrink(fd: number, offset: number, keepBytes: number): number {
  let { size } = fstatSync(fd);
  const end = readAt(fd, Math.max(0, size - keepBytes), Math.min(size, keepBytes));
  const lineEnd = end.indexOf('\n');
  const kept = lineEnd < end.length - 1 ? end.subarray(lineEnd + 1) : end;
  let length = writeSync(fd, kept, 0, kept.length, 0);
  for (let round = 0; round < mostRounds; round += 1) {
    const { size: now } = fstatSync(fd);
    if (now <= size) break;
    const appended = readAt(fd, size, Math.min(now - size, keepBytes));
    length += writeSync(fd, appended, 0, appended.length, length);
    size += appended.length;
  }
  ftruncateSync(fd, length);
  return Math.max(0, length - (size - offset));
}

function readAt(fd: number, position: number, length: number): Buffer {
  const buffer = Buffer.allocUnsafe(length);
  return buffer.subarray(0, readSync(fd, buffer, 0, length, position));
}

async function sizeOf(path: string): Promise<number | undefined> {
  return (await stat(path).catch(() => undefined))?.size;
}
