import { createHash } from 'node:crypto';
import type { Cmdb } from '../cmdb/cmdb.js';
import { type Seal, SealBroken } from './seal.js';

export type SealedStore = Pick<Cmdb, 'sealed' | 'changeSealed'>;

export interface SealedDocumentsOptions {
  readonly cmdb: SealedStore;
  readonly seal: Seal;
  /** A document was changed by somebody without the key; it counts as absent, and is made anew when it is needed. */
  readonly onBroken: (name: string) => void;
}

const longestKey = 200;

/** JSON documents in the store that can be read, and made, only with the key. */
export class SealedDocuments {
  readonly #options: SealedDocumentsOptions;

  constructor(options: SealedDocumentsOptions) {
    this.#options = options;
  }

  async read<T>(name: string): Promise<T | undefined> {
    const { cmdb, onBroken } = this.#options;
    const full = this.nameOf(name);
    const sealed = await cmdb.sealed(full);
    const document = this.#open(full, sealed) as T | undefined;
    if (sealed !== undefined && document === undefined) onBroken(name);
    return document;
  }

  /** By compare-and-set; see Cmdb.changeSealed. The same object writes nothing, undefined removes the document. */
  async change<T>(name: string, change: (before: T | undefined) => T | undefined): Promise<T | undefined> {
    const { cmdb, seal } = this.#options;
    const full = this.nameOf(name);
    let after: T | undefined;
    await cmdb.changeSealed(full, (sealed) => {
      const before = this.#open(full, sealed) as T | undefined;
      after = change(before);
      if (after === before && before !== undefined) return sealed;
      return after === undefined ? undefined : seal.close(full, JSON.stringify(after));
    });
    return after;
  }

  /** In the store: with another key other documents are used. */
  nameOf(name: string): string {
    const short = name.length <= longestKey ? name : createHash('sha256').update(name).digest('base64url');
    return `${this.#options.seal.id}:${short}`;
  }

  #open(full: string, sealed: string | undefined): unknown {
    if (sealed === undefined) return undefined;
    try {
      return JSON.parse(this.#options.seal.open(full, sealed));
    } catch (error) {
      if (error instanceof SealBroken) return undefined;
      throw error;
    }
  }
}
