import { asRequestError, isDefect, RequestError } from '../model/errors.js';

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
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  if (code === 'UND_ERR_INVALID_ARG') return unsendable(error);
  if (code === 'UND_ERR_HEADERS_TIMEOUT') return new RequestError('upstream_timeout', undefined, { cause: error });
  if (!sent && unreachable.has(code)) return new RequestError('upstream_unreachable', undefined, { cause: error });
  return new RequestError(sent ? 'upstream_reset' : 'upstream_unreachable', undefined, { cause: error });
}

const closed = 'the app closed the connection';
const tooLarge = 'the header of the answer is too large';

/** Our words for errors of undici and node, by message or code. */
const meanings = new Map([
  ['other side closed', closed],
  ['closed', closed],
  ['socket hang up', closed],
  ['bad response', 'the app sent an answer that nothing had asked for'],
  ['bad upgrade', 'the app switched to another protocol unasked'],
  ['HPE_HEADER_OVERFLOW', tooLarge],
  ['HPE_INVALID_EOF_STATE', 'the app closed the connection in the middle of its answer'],
  ['UND_ERR_HEADERS_OVERFLOW', tooLarge],
  ['UND_ERR_RES_CONTENT_LENGTH_MISMATCH', 'the body of the answer is shorter or longer than its Content-Length'],
  ['UND_ERR_HEADERS_TIMEOUT', 'the app sent no header of an answer within requestTimeout'],
  ['UND_ERR_CONNECT_TIMEOUT', 'the app accepted no connection in time'],
]);
/** The forms in which undici and node wrap the parser's reason. */
const parserReason = /^(?:Response does not match the HTTP\/1\.1 protocol \((.*)\)|Parse Error: (.*))$/s;

/** The cause of a failed exchange, for the log. */
export function wordsOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  const { message } = cause;
  const meaning = meanings.get(message) ?? ('code' in cause ? meanings.get(String(cause.code)) : undefined);
  if (meaning !== undefined) return meaning;
  const [, ofUndici, ofNode] = parserReason.exec(message) ?? [];
  const reason = ofUndici ?? ofNode;
  return reason === undefined ? message : `not valid HTTP: ${reason}`;
}

/** A request that cannot be written to an instance, such as a control character in its path. */
export function unsendable(cause: unknown): RequestError {
  if (isDefect(cause)) return asRequestError(cause);
  return new RequestError('bad_request', 'The request cannot be passed on.', { cause });
}
