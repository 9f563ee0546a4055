import { asRequestError, isDefect, RequestError } from '../model/errors.js';

const unreachable = new Set([
  'ECONNREFUSED',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EADDRNOTAVAIL',
  'ETIMEDOUT',
  'UND_ERR_CONNECT_TIMEOUT',
]);

/** What a failed exchange with an instance is called in the error table. `sent`: a connection had been handed the request. */
export function upstreamError(error: unknown, sent: boolean): RequestError {
  if (error instanceof RequestError || isDefect(error)) return asRequestError(error);
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (code === 'UND_ERR_INVALID_ARG') return unsendable(error);
  if (code === 'UND_ERR_HEADERS_TIMEOUT') return new RequestError('upstream_timeout', undefined, { cause: error });
  if (!sent && unreachable.has(code)) return new RequestError('upstream_unreachable', undefined, { cause: error });
  return new RequestError(sent ? 'upstream_reset' : 'upstream_unreachable', undefined, { cause: error });
}

/** A request that cannot be written to an instance, such as a control character in its path. */
export function unsendable(cause: unknown): RequestError {
  if (isDefect(cause)) return asRequestError(cause);
  return new RequestError('bad_request', 'The request cannot be passed on.', { cause });
}
