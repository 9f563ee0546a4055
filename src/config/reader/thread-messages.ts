import type { Problem } from '../problem.js';
import type { FileApp, Reading } from '../reading.js';
import type { ConfigReaderOptions } from './config-reader.js';

/** What a reading thread is made with. */
export interface ThreadData extends Omit<ConfigReaderOptions, 'onDocument'> {
  /** See ParseWatch. */
  readonly watch: SharedArrayBuffer;
}

/** To the thread: read the files, see ConfigReader; send the next apps that changed. */
export type ThreadOrder =
  | { readonly kind: 'read'; readonly changed?: readonly string[] | undefined }
  | { readonly kind: 'more' };

export type ThreadAnswer =
  /** Apps follow if there are any; `places` is absent if they are the same as before. */
  | {
      readonly kind: 'reading';
      readonly reading: Omit<Reading, 'apps' | 'changed' | 'places'> & { readonly places?: Reading['places'] };
      readonly changed: number;
    }
  | { readonly kind: 'apps'; readonly apps: readonly FileApp[] }
  /** The main file is wrong. */
  | { readonly kind: 'refused'; readonly problems: readonly Problem[] }
  | { readonly kind: 'failed'; readonly message: string };

/** Apps of one message: what the event loop takes in at once. */
export const appsAtOnce = 100;

/** What a thread is parsing, in memory that the main thread reads without waiting for it. */
export class ParseWatch {
  readonly #header: Int32Array;
  readonly #path: Uint8Array;

  constructor(memory: SharedArrayBuffer) {
    this.#header = new Int32Array(memory, 0, 2);
    this.#path = new Uint8Array(memory, 8);
  }

  static memory(): SharedArrayBuffer {
    return new SharedArrayBuffer(8 + 16 * 1024);
  }

  /** A document of this file comes next; '' if nothing is being parsed. */
  begin(file: string): void {
    const { written } = new TextEncoder().encodeInto(file, this.#path);
    Atomics.store(this.#header, 1, written);
    Atomics.add(this.#header, 0, 1);
  }

  /** Changes with each document. */
  get count(): number {
    return Atomics.load(this.#header, 0);
  }

  get file(): string {
    // A copy: text is not decoded from memory that another thread writes to.
    return new TextDecoder().decode(this.#path.slice(0, Atomics.load(this.#header, 1)));
  }
}
