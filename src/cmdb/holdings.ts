import { createHash } from 'node:crypto';

/** The apps that a machine's files hold, as one document: short digests of their names. */
export function encodeHoldings(apps: Iterable<string>): string | undefined {
  const digests = [...apps].map(digest).toSorted();
  return digests.length === 0 ? undefined : digests.join(' ');
}

/** Whether a document of `encodeHoldings` names this app. */
export function isHolding(text: string | undefined, app: string): boolean {
  return text?.includes(digest(app)) === true;
}

function digest(name: string): string {
  return createHash('sha256').update(name).digest('base64url').slice(0, 11);
}
