import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import type { CustomerTerms } from '../config/customer-terms.js';
import { ApiError } from './api-error.js';
import type { Caller, Scope } from './caller.js';

/** A token of which only the hash is known. */
export interface HashedToken extends Pick<CustomerTerms, 'plan' | 'images'> {
  readonly name: string;
  readonly scope: Scope;
  /** `sha256:` and the digest in hexadecimal. */
  readonly hash: string;
  /** None: it knows all apps. */
  readonly labels: Readonly<Record<string, string>>;
  /** With labels and scope `write`: it is a customer's. */
  readonly domains?: CustomerTerms['domains'];
}

/** How callers are told apart. */
export interface Credentials {
  /** The admin side listens on a socket: its file's mode says who may use it. */
  readonly isSocket: boolean;
  /** It listens on loopback. */
  readonly isLoopback: boolean;
  /** The token that may do everything. */
  readonly token?: string;
  readonly tokens: readonly HashedToken[];
}

/** Host names under which a browser reaches loopback, or a tunnel to the socket; any other name is DNS rebinding. */
const loopbackNames = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i;

/** Who sends the request. Throws `unauthorized` or `forbidden`. */
export function callerOf(headers: IncomingHttpHeaders, url: string, credentials: Credentials): Caller {
  const { isSocket, isLoopback, token, tokens } = credentials;
  if (url === '/healthz') return { name: 'anybody', scope: 'read', labels: {} };
  const { authorization } = headers;
  const hasTokens = token !== undefined || tokens.length > 0;
  // Whoever sends a token means it, also where none is needed; without any there is nothing to check it by.
  if (authorization !== undefined && hasTokens) {
    const caller = callerWith(/^Bearer +(.*)$/i.exec(authorization)?.[1] ?? '', credentials);
    if (caller) return caller;
  } else if (isSocket && token === undefined) {
    refuseForeignPages(headers);
    return { name: 'socket', scope: 'write' };
  } else if (isLoopback && !hasTokens) {
    if (!loopbackNames.test(headers.host ?? ''))
      throw new ApiError('forbidden', 'Without a token the admin side answers only to loopback names.');
    // Every program of this machine can connect.
    return { name: 'loopback', scope: 'read' };
  }
  throw new ApiError('unauthorized', 'Send a token as Authorization: Bearer.', {
    headers: { 'www-authenticate': 'Bearer' },
  });
}

/**
 * A tunnel (`ssh -L`) leads an operator's browser to the socket, and with it every web page that is open there: it could send, and by DNS
 * rebinding read. Throws `forbidden`.
 */
function refuseForeignPages({ host, origin, 'sec-fetch-site': site }: IncomingHttpHeaders): void {
  const isNamed = host === undefined || loopbackNames.test(host);
  const isOwn = origin === undefined || origin === `http://${host}`;
  if (isNamed && isOwn && (site === undefined || site === 'same-origin' || site === 'none')) return;
  throw new ApiError(
    'forbidden',
    'Without a token the socket answers only to http://localhost, and to no other web page.',
  );
}

/** Compares with every token in full, so that the time of an answer tells nothing of them. */
function callerWith(given: string, { token, tokens }: Credentials): Caller | undefined {
  const digest = sha256(given);
  const found = tokens.filter(({ hash }) => timingSafeEqual(Buffer.from(hash.slice(hashPrefix.length), 'hex'), digest));
  if (token !== undefined && timingSafeEqual(sha256(token), digest)) return { name: 'admin', scope: 'write' };
  return found[0] && callerOfToken(found[0]);
}

function callerOfToken({ name, scope, labels, domains, plan, images }: HashedToken): Caller {
  if (Object.keys(labels).length === 0) return { name, scope };
  const terms = domains && { domains, images, ...(plan !== undefined && { plan }) };
  return { name, scope, labels, ...(terms && { terms }) };
}

const hashPrefix = 'sha256:';

/** What `admin.tokens` has of a token. */
export function hashOf(token: string): string {
  return `${hashPrefix}${sha256(token).toString('hex')}`;
}

/** The tokens are random, so that one round is enough. */
function sha256(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
