import { isDefect, RequestError } from '../model/errors.js';

/** What to throw for an error of the store: `cmdb_unavailable`. A defect of ours is thrown as it is. */
export function unavailable(cause: unknown, message?: string): Error {
  return cause instanceof RequestError || isDefect(cause)
    ? cause
    : new RequestError('cmdb_unavailable', message, { cause });
}
