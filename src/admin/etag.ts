import { createHash } from 'node:crypto';
import type { AppRecord } from '../cmdb/cmdb.js';
import { recordOf } from '../model/app.js';
import { ApiError } from './api-error.js';

/** Names the content of an app: the same for the same content, whoever put it. */
export function etagOf({ app, origin }: Pick<AppRecord, 'app' | 'origin'>): string {
  const content = JSON.stringify([recordOf(app), origin?.api?.written]);
  return `"${createHash('sha256').update(content).digest('base64url').slice(0, 22)}"`;
}

/** What a request expects of an app. */
export interface Preconditions {
  readonly ifMatch?: string | undefined;
  readonly ifNoneMatch?: string | undefined;
}

/** Throws `precondition_failed`; `etag` is that of the app as it is, undefined if there is none. Source: RFC 9110, section 13. */
export function checkPreconditions({ ifMatch, ifNoneMatch }: Preconditions, etag: string | undefined): void {
  const isMet =
    (ifMatch === undefined || names(ifMatch, etag, 'strongly')) &&
    (ifNoneMatch === undefined || !names(ifNoneMatch, etag, 'weakly'));
  if (isMet) return;
  const found = etag === undefined ? 'there is no such app' : `its ETag is ${etag}`;
  const headers = etag === undefined ? {} : { etag };
  throw new ApiError('precondition_failed', `The app is not as If-Match or If-None-Match says: ${found}.`, { headers });
}

/** Whether the client has this content already. */
export function isKnownTo({ ifNoneMatch }: Preconditions, etag: string): boolean {
  return ifNoneMatch !== undefined && names(ifNoneMatch, etag, 'weakly');
}

/** Whether a list of entity tags has this one; `*` has any. */
function names(list: string, etag: string | undefined, how: 'strongly' | 'weakly'): boolean {
  if (etag === undefined) return false;
  if (list.trim() === '*') return true;
  const tags = list.match(/(?:W\/)?"[^"]*"/g) ?? [];
  return tags.some((tag) => (how === 'weakly' ? tag.replace(/^W\//, '') : tag) === etag);
}
