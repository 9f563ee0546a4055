import { RequestError } from '../model/errors.js';

/** Interim answers to one request; more are refused. */
export const mostInterim = 1_000;

export function endlessInterim(): RequestError {
  return new RequestError('upstream_reset', 'The app sent interim answers without end.');
}
