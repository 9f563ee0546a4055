import { type FileHandle, mkdir, open, readdir, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Logger } from 'pino';
import type { Clock } from '../../model/clock.js';
import { Follower } from './follower.js';
import { LineLog } from './line-log.js';
import { isSafeId } from './records.js';

export interface OutputOptions {
  readonly directory: string;
  readonly logger: Logger;
  readonly clock: Clock;
  /** Of each instance's file. */
  readonly maxBytes: number;
  readonly linesPerSecond: number;
}

const lastReadMs = 2_000;

/**
 * Output of the instances: a file each, which the process writes to itself, so that it outlives the dispatcher. Here the
 * files are kept within their size and followed into the log.
 */
export class Output {
  readonly #options: OutputOptions;
  readonly #followers = new Map<string, Follower>();
  #warned = false;
  #closed = false;

  constructor(options: OutputOptions) {
    this.#options = options;
  }

  /** `isKnown`: whether an instance still exists; what others wrote is removed. */
  async open(isKnown: (id: string) => Promise<boolean>): Promise<void> {
    const { directory } = this.#options;
    await mkdir(directory, { recursive: true, mode: 0o700 });
    for (const file of await readdir(directory)) {
      const id = file.slice(0, -'.log'.length);
      if (file.endsWith('.log') && isSafeId(id) && !(await isKnown(id)))
        await rm(join(directory, file), { force: true });
    }
  }

  /** A file to hand to a process as stdout and stderr. The caller closes it. */
  create(id: string): Promise<FileHandle> {
    return open(this.pathOf(id), 'a', 0o600);
  }

  /** Absolute path of the instance's file. */
  pathOf(id: string): string {
    return resolve(this.#options.directory, `${id}.log`);
  }

  /** Writes the instance's lines to the log from now on: all of them, or with `fromEnd` those to come. Harmless twice. */
  follow(id: string, app: string, fromEnd: boolean): void {
    if (this.#closed || this.#followers.has(id)) return;
    const { logger, clock, maxBytes, linesPerSecond } = this.#options;
    const lines = new LineLog({ logger: logger.child({ app, instance: id }), clock, linesPerSecond });
    const offset = fromEnd ? undefined : 0;
    const onUnwatchable = (error: unknown) => this.#warnOnce(error);
    // Another dispatcher has stopped the instance.
    const onGone = () => void this.#followers.delete(id);
    const follower = new Follower({ path: this.pathOf(id), lines, clock, maxBytes, offset, onUnwatchable, onGone });
    this.#followers.set(id, follower);
    follower.start();
  }

  /** The last bytes of the file, from the beginning of a character; '' where there is none. */
  async tail(id: string, maxBytes: number): Promise<string> {
    const file = isSafeId(id) ? await open(this.pathOf(id), 'r').catch(() => undefined) : undefined;
    if (!file) return '';
    try {
      const { size } = await file.stat();
      const length = Math.max(0, Math.min(size, maxBytes, this.#options.maxBytes));
      const { buffer, bytesRead } = await file.read(Buffer.alloc(length), 0, length, size - length);
      return fromWholeCharacter(buffer.subarray(0, bytesRead)).toString('utf8');
    } finally {
      await file.close();
    }
  }

  /** `isFollowedElsewhere`: another dispatcher may have to read the end of it yet, and is given a moment. */
  async remove(id: string, isFollowedElsewhere = false): Promise<void> {
    const follower = this.#followers.get(id);
    this.#followers.delete(id);
    await follower?.finish();
    if (!isSafeId(id)) return;
    if (!isFollowedElsewhere) return rm(this.pathOf(id), { force: true });
    this.#options.clock.after(lastReadMs, () => void rm(this.pathOf(id), { force: true }).catch(() => {}));
  }

  isFollowed(id: string): boolean {
    return this.#followers.has(id);
  }

  close(): void {
    this.#closed = true;
    for (const follower of this.#followers.values()) follower.stop();
    this.#followers.clear();
  }

  #warnOnce(error: unknown): void {
    if (this.#warned) return;
    this.#warned = true;
    const advice = 'output is looked at every second instead; raise the sysctl fs.inotify.max_user_watches';
    this.#options.logger.warn({ err: error }, `the kernel cannot watch the output of apps: ${advice}`);
  }
}

/** Drops up to three continuation bytes of a character that was cut. */
function fromWholeCharacter(bytes: Buffer): Buffer {
  let start = 0;
  while (start < 3 && ((bytes[start] ?? 0) & 0xc0) === 0x80) start += 1;
  return bytes.subarray(start);
}
