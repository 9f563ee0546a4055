import { timingSafeEqual } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { ApiError } from './api-error.js';
import type { Caller } from './caller.js';

/** How callers are told apart. */
export interface Credentials {
  /** The admin side listens on a socket: its file's mode says who may use it. */
  readonly isSocket: boolean;
  /** The token that may do everything. */
  readonly token?: string;
}

/** Host names under which a browser on this machine reaches loopback; any other name is DNS rebinding. */
const loopbackNames = /^(localhost|127(\.\d{1,3}){3}|\[::1\])(:\d+)?$/i;

/** Who sends the request. Throws `unauthorized` or `forbidden`. */
export function callerOf(headers: IncomingHttpHeaders, url: string, { isSocket, token }: Credentials): Caller {
  if (url === '/healthz') return { name: 'anybody', scope: 'read', labels: {} };
  if (token !== undefined) {
    if (isToken(headers.authorization, token)) return { name: 'admin', scope: 'write' };
    throw new ApiError('unauthorized', 'Send a token as Authorization: Bearer.', {
      headers: { 'www-authenticate': 'Bearer' },
    });
  }
  if (isSocket) return { name: 'socket', scope: 'write' };
  if (!loopbackNames.test(headers.host ?? ''))
    throw new ApiError('forbidden', 'Without a token the admin side answers only to loopback names.');
  // Every program of this machine can connect.
  return { name: 'loopback', scope: 'read' };
}

function isToken(header: string | undefined, token: string): boolean {
  const given = Buffer.from(header ?? '');
  const expected = Buffer.from(`Bearer ${token}`);
  return given.length === expected.length && timingSafeEqual(given, expected);
}
