import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Names of an instance's output in its directory: what it wrote last, what it wrote before that, and why it ended where no
 * dispatcher was there to be told.
 */
export function outputPaths(directory: string, id: string) {
  const path = (kind: string) => join(directory, `${id}.${kind}`);
  return { current: path('log'), older: path('old'), exit: path('exit') };
}

/** An instance's output on the disk, in two files that take turns: never more than `maxBytes`, and never less than the last half of it. */
export class OutputFile {
  readonly #paths: ReturnType<typeof outputPaths>;
  readonly #halfBytes: number;
  #file: FileHandle | undefined;
  #size = 0;

  /** Nothing is created before something is written. */
  constructor(directory: string, id: string, maxBytes: number) {
    this.#paths = outputPaths(directory, id);
    this.#halfBytes = Math.max(1, Math.floor(maxBytes / 2));
  }

  /** One at a time. Rejects with the system's error; what was to be written is lost then. */
  async append(bytes: Buffer): Promise<void> {
    const kept = bytes.subarray(Math.max(0, bytes.length - this.#halfBytes));
    if (this.#size + kept.length > this.#halfBytes) await this.#turn();
    this.#file ??= await open(this.#paths.current, 'w', 0o600);
    for (let at = 0; at < kept.length;) {
      const { bytesWritten } = await this.#file.write(kept, at);
      at += bytesWritten;
      this.#size += bytesWritten;
    }
  }

  async close(): Promise<void> {
    await this.#file?.close();
    this.#file = undefined;
  }

  async #turn(): Promise<void> {
    await this.close();
    this.#size = 0;
    await rename(this.#paths.current, this.#paths.older);
  }
}

export async function removeOutput(directory: string, id: string): Promise<void> {
  await Promise.all(Object.values(outputPaths(directory, id)).map((path) => rm(path, { force: true })));
}
