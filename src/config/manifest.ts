import { createHash } from 'node:crypto';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import type { App } from '../model/app.js';

/** What this node put into the store from its files, so that it knows what is new and what is gone. */
export interface Manifest {
  /** Identity of the store it was put into. */
  readonly identity: string | undefined;
  /** Content hash by name of app; `pending` before the store confirmed it. */
  readonly apps: Readonly<Record<string, string>>;
}

export const emptyManifest: Manifest = { identity: undefined, apps: {} };

/** The empty one where there is no file. Throws where the file cannot be read or is no manifest. */
export async function readManifest(file: string): Promise<Manifest> {
  let text: string;
  try {
    text = await readFile(file, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return emptyManifest;
    throw error;
  }
  const value = JSON.parse(text) as Partial<Manifest> | null;
  const { identity, apps } = value ?? {};
  const sound =
    typeof apps === 'object' && apps !== null && Object.values(apps).every((hash) => typeof hash === 'string');
  if (!sound || (identity !== undefined && typeof identity !== 'string')) throw new Error('it is not a manifest');
  return { identity, apps };
}

/** Replaces the file as a whole: a crash leaves the old one or the new one. */
export async function writeManifest(file: string, manifest: Manifest): Promise<void> {
  await mkdir(dirname(file), { recursive: true });
  const temporary = `${file}.${process.pid}.tmp`;
  await writeFile(temporary, `${JSON.stringify(manifest)}\n`, { flush: true });
  await rename(temporary, file);
}

/** Changes when anything of the app changes. */
export function contentHash(app: App): string {
  return createHash('sha256').update(JSON.stringify(app)).digest('base64url').slice(0, 22);
}
