import { randomBytes } from 'node:crypto';

/** A value for the key that names this life of the store, if it has none yet. */
export function newNonce(): string {
  return randomBytes(12).toString('base64url');
}
