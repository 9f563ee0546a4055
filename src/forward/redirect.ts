import type { Duplex } from 'node:stream';
import type { ClientRequest, ClientResponse } from './client-message.js';
import { endConnection } from './end-connection.js';
import { challengeToken } from '../model/acme-challenge.js';
import type { Admitted } from './request-headers.js';

/** Of a proxy that serves both schemes the redirect would come back over HTTPS; and `redirect: false` must end it. */
const cacheControl = 'no-store';

/** The same URL over HTTPS; undefined if it has to be answered as it was asked. */
export function secureUrl({ host, target }: Pick<Admitted, 'host' | 'target'>): string | undefined {
  // Challenges have to be answered over plain HTTP: RFC 8555 §8.3.
  if (!target.startsWith('/') || challengeToken(target) !== undefined) return undefined;
  return `https://${host.replace(/:\d*$/, '')}${target}`;
}

/**
 * Answers 308 to another URL: unlike 301, every method and body is to be sent again there, so that a form is not lost. What a body
 * brought is read and thrown away within the bounds of any refusal.
 */
export function redirect(req: ClientRequest, res: ClientResponse, admitted: Admitted, url: string): void {
  if (admitted.hasBody && !req.complete) res.shouldKeepAlive = false;
  res.writeHead(308, { Location: url, 'Cache-Control': cacheControl, 'Content-Length': '0' });
  res.end();
}

/** The same for a request to switch protocols, whose connection ends. */
export function redirectRaw(socket: Duplex, url: string): void {
  const head = `Location: ${url}\r\nCache-Control: ${cacheControl}\r\nContent-Length: 0\r\nConnection: close\r\n`;
  endConnection(socket, `HTTP/1.1 308 Permanent Redirect\r\n${head}\r\n`);
}
