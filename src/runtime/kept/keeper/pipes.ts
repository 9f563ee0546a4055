import { execFile } from 'node:child_process';
import { closeSync, constants, fchownSync, openSync, rmSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** Both ends of an unlinked pipe. */
export interface Pipe {
  /** Non-blocking. */
  readonly read: number;
  readonly write: number;
}

/** Pipes that are made at once, when fewer than half as many are left. */
const batch = 32;

/**
 * Pipes for the output of apps. Node cannot make pipes: child processes get sockets, which an app cannot open as /dev/stderr. So this
 * makes named pipes ahead of time in a directory of its own, and unlinks them when they are opened.
 */
export class Pipes {
  readonly #directory: string;
  readonly #paths: string[] = [];
  #made = 0;
  #making: Promise<void> | undefined;

  /** The directory must be used for nothing else, and no other user may be able to enter it. */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Resolves when the first pipes are made. Rejects with an Error that says what to do. */
  async open(): Promise<void> {
    await this.#make();
  }

  /** A pipe that `owner` may open again by its name in /proc; the caller closes both ends. */
  async take(owner: { readonly uid?: number | undefined; readonly gid?: number | undefined }): Promise<Pipe> {
    while (this.#paths.length === 0) await this.#make();
    const path = this.#paths.pop() as string;
    if (this.#paths.length < batch / 2) this.#make().catch(() => {});
    const read = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      const write = openSync(path, constants.O_WRONLY);
      try {
        if (owner.uid !== undefined) fchownSync(write, owner.uid, owner.gid ?? owner.uid);
      } catch (error) {
        closeSync(write);
        throw error;
      }
      return { read, write };
    } catch (error) {
      closeSync(read);
      throw error;
    } finally {
      unlinkSync(path);
    }
  }

  close(): void {
    rmSync(this.#directory, { recursive: true, force: true });
  }

  #make(): Promise<void> {
    this.#making ??= this.#makeBatch().finally(() => (this.#making = undefined));
    return this.#making;
  }

  async #makeBatch(): Promise<void> {
    const paths = Array.from({ length: batch }, () => join(this.#directory, String((this.#made += 1))));
    try {
      await promisify(execFile)('mkfifo', ['-m', '600', ...paths]);
    } catch (error) {
      const advice = 'it needs the program mkfifo, and stateDir on a file system that has pipes';
      throw new Error(`cannot make pipes in ${this.#directory}: ${advice}`, { cause: error });
    }
    this.#paths.push(...paths);
  }
}
