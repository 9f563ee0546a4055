import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { inTurns } from '../machine/batches.js';
import { type App, recordOf } from '../model/app.js';
import { makePrivateDirectory } from '../machine/private-directory.js';
import type { PastRemoval } from './removal-guard.js';

/** What this machine's file of an app holds. */
export interface ManifestEntry {
  /** Content hash. */
  readonly hash: string;
  /** Since when this machine has had this content, in epoch milliseconds. */
  readonly since: number;
  /** Absolute path of that file. */
  readonly file: string;
  /** That file is one that a customer writes. */
  readonly byCustomer?: true;
  /** The store has not taken it yet, or has refused it. */
  readonly pending?: true;
  /** It is pending, but the store took an earlier content of it from a customer's file here. */
  readonly isTaken?: true;
}

/** What this node put into the store from its files, so that it knows what is new and what is gone. */
export interface Manifest {
  /** Identity of the store it was put into. */
  readonly identity?: string | undefined;
  readonly apps: ReadonlyMap<string, ManifestEntry>;
  /** Digest of the names of which the store was told that files here hold them (MachineFiles). */
  readonly told?: string;
  /** Apps that went with their files lately. */
  readonly removals?: readonly PastRemoval[];
}

const entriesInTurn = 500;

const manifestShape = Compile(
  Type.Object({
    identity: Type.Optional(Type.String()),
    apps: Type.Record(
      Type.String(),
      Type.Object({
        hash: Type.String(),
        since: Type.Number(),
        file: Type.String(),
        byCustomer: Type.Optional(Type.Literal(true)),
        pending: Type.Optional(Type.Literal(true)),
        isTaken: Type.Optional(Type.Literal(true)),
      }),
    ),
    told: Type.Optional(Type.String()),
    removals: Type.Optional(
      Type.Array(
        Type.Object({
          at: Type.Number(),
          count: Type.Number({ minimum: 0 }),
          wasAllowed: Type.Optional(Type.Literal(true)),
        }),
      ),
    ),
  }),
);

/** The manifest on disk. */
export class ManifestFile {
  readonly path: string;
  /** Entries with their names as they were written before: of thousands mostly one is another. */
  readonly #texts = new WeakMap<ManifestEntry, string>();

  constructor(stateDir: string) {
    this.path = join(stateDir, 'applied-apps.json');
  }

  /** Empty if there is no file. Throws if the file cannot be read or is no manifest. Blocks. */
  read(): Manifest {
    let text: string;
    try {
      text = readFileSync(this.path, 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { apps: new Map() };
      throw error;
    }
    const value: unknown = JSON.parse(text);
    if (!manifestShape.Check(value)) throw new Error('it is not a manifest');
    return { ...value, apps: new Map(Object.entries(value.apps)) };
  }

  /** Replaces the file as a whole: a crash leaves the old one or the new one. */
  async write({ apps, ...rest }: Manifest): Promise<void> {
    makePrivateDirectory(dirname(this.path));
    const temporary = `${this.path}.${process.pid}.tmp`;
    const others = JSON.stringify(rest).slice(0, -1);
    const text = `${others}${others === '{' ? '' : ','}"apps":{${await this.#textOf(apps)}}}\n`;
    await writeFile(temporary, text, { flush: true, mode: 0o600 });
    await rename(temporary, this.path);
  }

  async #textOf(apps: Manifest['apps']): Promise<string> {
    const pieces: string[] = [];
    for await (const some of inTurns([...apps], entriesInTurn)) {
      for (const [name, entry] of some) {
        const text = this.#texts.get(entry) ?? `${JSON.stringify(name)}:${JSON.stringify(entry)}`;
        this.#texts.set(entry, text);
        pieces.push(text);
      }
    }
    return pieces.join(',');
  }
}

/** Changes when anything of the app changes. */
export function contentHash(app: App): string {
  return digestOf(JSON.stringify(recordOf(app)));
}

export function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('base64url').slice(0, 22);
}
