import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Type, Compile, type Static } from '../model/schema/typebox.js';
import { inTurns } from '../machine/batches.js';
import { type App, recordOf } from '../model/app.js';
import { makePrivateDirectory } from '../machine/private-directory.js';

/** What the manifest says of an app. */
const entrySchema = Type.Object({
  /** Content hash. */
  hash: Type.String(),
  /** Since when this machine has had this content, in epoch milliseconds. */
  since: Type.Number(),
  /** Absolute path of its file. */
  file: Type.String(),
  /** A customer writes that file. */
  byCustomer: Type.Optional(Type.Literal(true)),
  /** The store has not taken it yet, or has refused it. */
  pending: Type.Optional(Type.Literal(true)),
  /** It is pending, but the store took an earlier content of it from a customer's file here. */
  isTaken: Type.Optional(Type.Literal(true)),
});

const manifestSchema = Type.Object({
  /** Identity of the store that the apps were put into. */
  identity: Type.Optional(Type.String()),
  apps: Type.Record(Type.String(), entrySchema),
  /** Digest of the names of the apps that this machine told the store it holds (MachineFiles). */
  told: Type.Optional(Type.String()),
  /** Apps that were removed with their files lately. */
  removals: Type.Optional(
    Type.Array(
      Type.Object({
        /** In epoch milliseconds. */
        at: Type.Number(),
        count: Type.Number({ minimum: 0 }),
        /** The operator allowed it by maxRemovals. */
        wasAllowed: Type.Optional(Type.Literal(true)),
      }),
    ),
  ),
});
const manifestShape = Compile(manifestSchema);

export type ManifestEntry = Readonly<Static<typeof entrySchema>>;

/** What this machine put into the store from its files, so that it knows what is new and what is gone. */
export type Manifest = Readonly<Omit<Static<typeof manifestSchema>, 'apps'>> & {
  readonly apps: ReadonlyMap<string, ManifestEntry>;
};

export type PastRemoval = NonNullable<Manifest['removals']>[number];

const entriesInTurn = 500;

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
    await writeFile(temporary, this.#textOf(apps, rest), { flush: true, mode: 0o600 });
    await rename(temporary, this.path);
  }

  async *#textOf(apps: Manifest['apps'], rest: Omit<Manifest, 'apps'>): AsyncIterable<string> {
    const others = JSON.stringify(rest).slice(1, -1);
    let before = `{${others}${others === '' ? '' : ','}"apps":{`;
    for await (const some of inTurns([...apps], entriesInTurn)) {
      yield before + some.map((each) => this.#textOfEntry(...each)).join(',');
      before = ',';
    }
    yield `${before === ',' ? '' : before}}}\n`;
  }

  #textOfEntry(name: string, entry: ManifestEntry): string {
    const text = this.#texts.get(entry) ?? `${JSON.stringify(name)}:${JSON.stringify(entry)}`;
    this.#texts.set(entry, text);
    return text;
  }
}

/** Changes when anything of the app changes. */
export function contentHash(app: App): string {
  return digestOf(JSON.stringify(recordOf(app)));
}

export function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('base64url').slice(0, 22);
}
