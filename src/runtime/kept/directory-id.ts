import { randomBytes } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { claimName } from '../../machine/claim-name.js';

/** The random id of a state directory, made by the first caller and kept in the file `id`. Throws if it cannot be kept. */
export async function directoryId(directory: string): Promise<string> {
  const path = join(directory, 'id');
  const known = await idIn(path);
  if (known !== undefined) return known;
  const draft = join(directory, `id-${randomBytes(6).toString('hex')}`);
  await writeFile(draft, `${randomBytes(12).toString('base64url')}\n`, { mode: 0o600 });
  try {
    await claimName(draft, path);
  } finally {
    await rm(draft, { force: true });
  }
  const id = await idIn(path);
  if (id === undefined) throw new Error(`${path} holds no id: remove it if no process of this directory runs`);
  return id;
}

async function idIn(path: string): Promise<string | undefined> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '';
    throw error;
  });
  return /^[\w-]{8,64}$/.test(text.trim()) ? text.trim() : undefined;
}
