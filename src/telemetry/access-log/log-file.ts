import { constants, write } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Clock } from '../../model/clock.js';

/** The path of this process's own output. */
export const stdout = 'stdout';

export interface LogFileOptions {
  /** Of a file, or `stdout`. */
  readonly path: string;
  readonly clock: Clock;
  /** Bytes that may wait for the disk; what comes beyond is dropped. 8 MiB by default. */
  readonly mostWaiting?: number;
  /** Lines that were not written: too many waited, or the disk refused them. */
  readonly onDropped: (lines: number) => void;
  readonly onError: (error: Error) => void;
}

const defaultMostWaiting = 8 * 1024 ** 2;
/** Interval between looks at whether the path leads to another file, and between attempts to open one. */
const lookMs = 1_000;
/** How long the end of the daemon waits for who takes the lines, such as the reader of a pipe. */
const closingMs = 2_000;
const { O_APPEND, O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_WRONLY } = constants;

/** As much as a pipe takes in one piece, so that no line of another writer gets into one of these (POSIX, PIPE_BUF). */
const pieceBytes = 4_096;
const writeTo = promisify(write);

/**
 * Appends lines to a file, without ever making the caller wait. Opens the file again when its path leads to another one, or to none, so
 * that logrotate needs no signal. Several processes may write to one file: whole lines are appended at once.
 */
export class LogFile {
  readonly #options: LogFileOptions;
  readonly #mostWaiting: number;
  #waiting: string[] = [];
  #waitingBytes = 0;
  #writing: Promise<void> | undefined;
  #file: FileHandle | undefined;
  #lookedAt = Number.NEGATIVE_INFINITY;
  /** A line was written in part: what comes next begins a new one. */
  #isTorn = false;

  constructor(options: LogFileOptions) {
    this.#options = options;
    this.#mostWaiting = options.mostWaiting ?? defaultMostWaiting;
  }

  /** The line has its end, and is ASCII. */
  write(line: string): void {
    if (this.#waitingBytes + line.length > this.#mostWaiting) return this.#options.onDropped(1);
    this.#waiting.push(line);
    this.#waitingBytes += line.length;
    this.#writing ??= this.#run();
  }

  /** Resolves when nothing waits. */
  async settled(): Promise<void> {
    await this.#writing;
  }

  /** Writes what waits, unless nobody takes it, and closes. */
  async close(): Promise<void> {
    const tooLate = new AbortController();
    await Promise.race([this.settled(), setTimeout(closingMs, undefined, { signal: tooLate.signal }).catch(() => {})]);
    tooLate.abort();
    await this.#file?.close().catch(() => {});
    this.#file = undefined;
  }

  /** Lines that come while a part is being written make the next part. */
  async #run(): Promise<void> {
    // What one round of the event loop brings is one part.
    await new Promise((resolve) => setImmediate(resolve));
    while (this.#waiting.length > 0) {
      const lines = this.#waiting;
      this.#waiting = [];
      for (const piece of this.#options.path === stdout ? piecesOf(lines) : [lines]) await this.#append(piece);
      for (const line of lines) this.#waitingBytes -= line.length;
    }
    this.#writing = undefined;
  }

  async #append(lines: readonly string[]): Promise<void> {
    const { onDropped, onError } = this.#options;
    let buffer = Buffer.alloc(0);
    let at = 0;
    try {
      const place = this.#options.path === stdout ? 1 : (await this.#current())?.fd;
      // Not open, and tried a moment ago.
      if (place === undefined) return onDropped(lines.length);
      buffer = Buffer.from((this.#isTorn ? '\n' : '') + lines.join(''), 'latin1');
      while (at < buffer.length) at += (await writeTo(place, buffer, at)).bytesWritten;
      this.#isTorn = false;
    } catch (error) {
      this.#isTorn ||= at > 0 && buffer[at - 1] !== 0x0a;
      const written = buffer.subarray(0, at).filter((byte) => byte === 0x0a).length;
      onDropped(Math.max(0, lines.length - written));
      onError(error as Error);
    }
  }

  async #current(): Promise<FileHandle | undefined> {
    const { path, clock } = this.#options;
    const now = clock.monotonic();
    if (now - this.#lookedAt < lookMs) return this.#file;
    this.#lookedAt = now;
    const [there, ours] = await Promise.all([stat(path).catch(() => undefined), this.#file?.stat()]);
    if (there && ours && there.ino === ours.ino && there.dev === ours.dev) return this.#file;
    const before = this.#file;
    this.#file = undefined;
    await before?.close().catch(() => {});
    // Not through a link, and without waiting for the reader of a pipe.
    this.#file = await open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0o640);
    this.#isTorn = false;
    return this.#file;
  }
}

function piecesOf(lines: readonly string[]): string[][] {
  const pieces: string[][] = [];
  let room = 0;
  for (const line of lines) {
    if (line.length > room) {
      pieces.push([]);
      room = pieceBytes;
    }
    pieces.at(-1)?.push(line);
    room -= line.length;
  }
  return pieces;
}
