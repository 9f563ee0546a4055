import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { claimNameSync } from './claim-name.js';
import { makePrivateDirectory } from './private-directory.js';

const shortest = 32;

/**
 * The key of an installation that configures none: made once and kept in `stateDir`, the same for processes that start at once. Throws
 * an Error that says what to do if the file cannot be trusted.
 */
export function localSigningKey(stateDir: string): string {
  makePrivateDirectory(stateDir);
  return readSigningKey(stateDir) ?? makeSigningKey(stateDir);
}

/** The key in `stateDir`; undefined if none was made yet. */
export function readSigningKey(stateDir: string): string | undefined {
  const file = fileIn(stateDir);
  if (!existsSync(file)) return undefined;
  const stats = statSync(file);
  const me = process.geteuid?.() ?? stats.uid;
  if (stats.uid !== me || (stats.mode & 0o077) !== 0) {
    throw new Error(`${file} must belong to the daemon's user alone; run: chown ${me} ${file} && chmod 0600 ${file}`);
  }
  const key = readFileSync(file, 'utf8').trim();
  if (key.length >= shortest) return key;
  throw new Error(
    `${file} holds no key of at least ${shortest} characters; restore it, or remove it to make another one`,
  );
}

/** Of processes that make a key at once, the first to link its own wins. */
function makeSigningKey(stateDir: string): string {
  const file = fileIn(stateDir);
  const draft = `${file}.${process.pid}.${randomBytes(6).toString('hex')}`;
  writeFileSync(draft, `${randomBytes(32).toString('base64url')}\n`, { flag: 'wx', mode: 0o600, flush: true });
  try {
    claimNameSync(draft, file);
  } finally {
    rmSync(draft, { force: true });
  }
  return readSigningKey(stateDir) as string;
}

function fileIn(stateDir: string): string {
  return join(stateDir, 'signing.key');
}
