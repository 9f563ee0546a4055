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
  /** The store has not confirmed it, or has refused it. */
  readonly pending?: true;
}

/** What this node put into the store from its files, so that it knows what is new and what is gone. */
export interface Manifest {
  /** Identity of the store it was put into. */
  readonly identity?: string | undefined;
  readonly apps: ReadonlyMap<string, ManifestEntry>;
  /** The store was told which apps these are (MachineFiles). */
  readonly isNoted?: true | undefined;
  /** Apps that went with their files lately. */
  readonly removals?: readonly PastRemoval[];
}

const entriesInTurn = 500;

export const emptyManifest: Manifest = { apps: new Map() };

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
      }),
    ),
    isNoted: Type.Optional(Type.Literal(true)),
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

/** Where a daemon with this `stateDir` keeps it. */
export function manifestFile(stateDir: string): string {
  return join(stateDir, 'applied-apps.json');
}

/** The empty one where there is no file. Throws where the file cannot be read or is no manifest. Blocks. */
export function readManifest(file: string): Manifest {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return emptyManifest;
    throw error;
  }
  const value: unknown = JSON.parse(text);
  if (!manifestShape.Check(value)) throw new Error('it is not a manifest');
  const { apps, ...rest } = value;
  return { ...(rest as Omit<Manifest, 'apps'>), apps: new Map(Object.entries(apps) as [string, ManifestEntry][]) };
}

/** Of entries as they were written before, by name and all. */
export type EntryTexts = WeakMap<ManifestEntry, string>;

/** Replaces the file as a whole: a crash leaves the old one or the new one. */
export async function writeManifest(file: string, { apps, ...rest }: Manifest, texts: EntryTexts): Promise<void> {
  makePrivateDirectory(dirname(file));
  const temporary = `${file}.${process.pid}.tmp`;
  const others = JSON.stringify(rest).slice(0, -1);
  const text = `${others}${others === '{' ? '' : ','}"apps":{${await textOf(apps, texts)}}}\n`;
  await writeFile(temporary, text, { flush: true, mode: 0o600 });
  await rename(temporary, file);
}

async function textOf(apps: Manifest['apps'], texts: EntryTexts): Promise<string> {
  const pieces: string[] = [];
  for await (const some of inTurns([...apps], entriesInTurn)) {
    for (const [name, entry] of some) {
      const text = texts.get(entry) ?? `${JSON.stringify(name)}:${JSON.stringify(entry)}`;
      texts.set(entry, text);
      pieces.push(text);
    }
  }
  return pieces.join(',');
}

/** Changes when anything of the app changes. */
export function contentHash(app: App): string {
  return createHash('sha256')
    .update(JSON.stringify(recordOf(app)))
    .digest('base64url')
    .slice(0, 22);
}
