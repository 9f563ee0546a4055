import { asRequestError, isDefect, RequestError } from '../model/errors.js';
import { HeadersTimeout } from './http1-client/http1-client.js';
import { Unsendable } from './http1-client/request-head.js';

const unreachable = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EADDRNOTAVAIL',
  'ETIMEDOUT',
  'UND_ERR_CONNECT_TIMEOUT',
]);

/** The row of the error table for a failed exchange with an instance. `sent`: a connection had been handed the request. */
export function upstreamError(error: unknown, sent: boolean): RequestError {
  if (error instanceof RequestError || isDefect(error)) return asRequestError(error);
  if (error instanceof Unsendable) return unsendable(error);
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (error instanceof HeadersTimeout) return new RequestError('upstream_timeout', undefined, { cause: error });
  if (!sent && unreachable.has(code)) return new RequestError('upstream_unreachable', undefined, { cause: error });
  return new RequestError(sent ? 'upstream_reset' : 'upstream_unreachable', undefined, { cause: error });
}

/** Our words for errors of undici's connector and of node, by message or code. */
const meanings = new Map([
  ['socket hang up', 'the app closed the connection'],
  ['HPE_HEADER_OVERFLOW', 'the header of the answer is too large'],
  ['HPE_INVALID_EOF_STATE', 'the app closed the connection in the middle of its answer'],
  ['UND_ERR_CONNECT_TIMEOUT', 'the app accepted no connection in time'],
]);

/** The cause of a failed exchange, for the log. */
export function wordsOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  const { message } = cause;
  const meaning = meanings.get(message) ?? ('code' in cause ? meanings.get(String(cause.code)) : undefined);
  if (meaning !== undefined) return meaning;
  return message.replace(/^Parse Error: /, 'not valid HTTP: ');
}

/** A request that cannot be written to an instance, such as a control character in its path. */
export function unsendable(cause: unknown): RequestError {
  if (isDefect(cause)) return asRequestError(cause);
  return new RequestError('bad_request', 'The request cannot be passed on.', { cause });
}
