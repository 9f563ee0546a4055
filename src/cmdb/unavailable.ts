import { isDefect, RequestError } from '../model/errors.js';

/** The error to throw for one of the store: `cmdb_unavailable`. A defect of ours is returned unchanged. */
export function unavailable(cause: unknown, message?: string): Error {
  return cause instanceof RequestError || isDefect(cause)
    ? cause
    : new RequestError('cmdb_unavailable', message, { cause });
}
