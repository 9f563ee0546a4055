const pattern = /^\/\.well-known\/acme-challenge\/([\w-]{1,200})$/;
const token = /^[\w-]{1,200}$/;

/** Whether a text can be the token of a challenge. */
export function isChallengeToken(text: string): boolean {
  return token.test(text);
}

/** Token of the challenge at a path, with which a domain is proven to an authority: RFC 8555 §8.3. Undefined for all other paths. */
export function challengeToken(path: string): string | undefined {
  return pattern.exec(path)?.[1];
}
