import { randomBytes } from 'node:crypto';

/**
 * The value of a domain's key: a random token and the name of the app. The token makes each claim another one, so that
 * who judged an older one to be void cannot take away a newer one of the same app.
 */
export function newClaim(name: string): string {
  return `${randomBytes(9).toString('base64url')} ${name}`;
}

/** The name of the app that made the claim; undefined where there is none. */
export function claimantOf(claim: string | undefined): string | undefined {
  return claim === undefined ? undefined : claim.slice(claim.indexOf(' ') + 1);
}
