import { execFile } from 'node:child_process';
import { closeSync, constants, fchownSync, openSync, rmSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

/** Both ends of a pipe that has no name any longer. */
export interface Pipe {
  /** Does not block. */
  readonly read: number;
  readonly write: number;
}

/** So many are made at once, when fewer than half of that are left. */
const batch = 32;

/**
 * Pipes for the output of apps. Node has no way to make one (what its child processes get are sockets, which no app can
 * open by the name of /dev/stderr), so named ones are made ahead of time, in a directory of our own, and unlinked when opened.
 */
export class Pipes {
  readonly #directory: string;
  readonly #paths: string[] = [];
  #made = 0;
  #making: Promise<void> | undefined;

  /** A directory that nobody else can enter and that is not used otherwise. */
  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Resolves when the first are there. Rejects with an Error that says what to do. */
  async open(): Promise<void> {
    await this.#make();
  }

  /** One whose ends `owner` may open again by their names in /proc; the caller closes both. */
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
