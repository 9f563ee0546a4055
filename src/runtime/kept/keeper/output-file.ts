import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Paths of an instance's output: its newest part, the part before that, and a note of why it ended, which is written if no dispatcher
 * was there.
 */
export function outputPaths(directory: string, id: string) {
  const path = (kind: string) => join(directory, `${id}.${kind}`);
  return { current: path('log'), older: path('old'), exit: path('exit') };
}

/** An instance's output in two files that take turns: at most `maxBytes`, and at least the last half of that. */
export class OutputFile {
  readonly #paths: ReturnType<typeof outputPaths>;
  readonly #halfBytes: number;
  #file: FileHandle | undefined;
  #size = 0;

  /** Creates no file before the first write. */
  constructor(directory: string, id: string, maxBytes: number) {
    this.#paths = outputPaths(directory, id);
    this.#halfBytes = Math.max(1, Math.floor(maxBytes / 2));
  }

  /** Appends bytes; call it again only after it has settled. Rejects with the system's error, and the bytes are lost then. */
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
