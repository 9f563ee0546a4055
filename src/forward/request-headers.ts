import { longestHost } from '../model/host-name.js';
import { RequestError } from '../model/errors.js';
import type { ClientRequest } from './client-message.js';
import { StreamRequest } from './http2/stream-request.js';
import { isProxyHeader, isOurs } from './proxy-headers.js';

/** A request that may be forwarded, in the form in which it will be. */
export interface Admitted {
  readonly method: string;
  /** Origin form, which begins with `/`; or `*` with OPTIONS. */
  readonly target: string;
  /** The authority as sent: host and perhaps port. */
  readonly host: string;
  /**
   * For the upstream, flat, in their order and case: Host first, without hop-by-hop headers and those of proxies, which
   * `Origin` appends.
   */
  readonly headers: string[];
  /** What the peer says of the request's origin and user, flat; see proxy-headers.ts. */
  readonly proxyHeaders: readonly string[] | undefined;
  readonly hasBody: boolean;
  readonly contentLength: number | undefined;
  /** Safe to send twice: RFC 9110 §9.2.2. */
  readonly idempotent: boolean;
  readonly expectsContinue: boolean;
  /** Its Authorization holds for the whole connection: NTLM, Negotiate. */
  readonly isBound: boolean;
  /** The protocols that it offers to switch to, as sent. */
  readonly upgrade: string | undefined;
}

const treat = {
  forward: 0,
  drop: 1,
  proxy: 2,
  host: 3,
  length: 4,
  encoding: 5,
  connection: 6,
  expect: 7,
  upgrade: 8,
  authorization: 9,
} as const;
type Treatment = (typeof treat)[keyof typeof treat];

/** Headers by treatment; those of proxies are told by `isProxyHeader`. Source: RFC 9110 §7.6.1; `Proxy` is httpoxy (CVE-2016-5385). */
const treatments = new Map<string, Treatment>([
  ['proxy-connection', treat.drop],
  ['keep-alive', treat.drop],
  ['te', treat.drop],
  ['proxy', treat.drop],
  // Trailers of requests are not passed on.
  ['trailer', treat.drop],
  ['transfer-encoding', treat.encoding],
  ['content-length', treat.length],
  ['expect', treat.expect],
  ['upgrade', treat.upgrade],
  // The most common headers in their most common case, so that they need no conversion to lower case.
  ...[
    ...['Accept', 'Accept-Encoding', 'Accept-Language', 'Cache-Control', 'Content-Type', 'Cookie'],
    ...['If-Modified-Since', 'If-None-Match', 'Origin', 'Pragma', 'Priority', 'Range', 'Referer', 'Sec-Fetch-Dest'],
    ...['Sec-Fetch-Mode', 'Sec-Fetch-Site', 'Sec-Fetch-User', 'Upgrade-Insecure-Requests', 'User-Agent'],
    ...['sec-ch-ua', 'sec-ch-ua-mobile', 'sec-ch-ua-platform'],
  ].map((name): [string, Treatment] => [name, treat.forward]),
  ...['Authorization', 'authorization'].map((name): [string, Treatment] => [name, treat.authorization]),
  ...['Host', 'host'].map((name): [string, Treatment] => [name, treat.host]),
  ...['Connection', 'connection'].map((name): [string, Treatment] => [name, treat.connection]),
]);

/** How much of a request is taken. */
export interface RequestBounds {
  /**
   * More header lines are refused. Servers silently drop lines beyond a bound of their own (node: 1,000); they must not drop those
   * that we append.
   */
  readonly maxHeaderLines: number;
  readonly maxUrlSizeBytes: number;
}

const usualBounds: RequestBounds = { maxHeaderLines: 500, maxUrlSizeBytes: 8_192 };

const idempotent = new Set(['GET', 'HEAD', 'OPTIONS', 'PUT', 'DELETE', 'TRACE']);
/** A host, and a port up to 65535 or an empty one. */
const authority =
  /^(?:\[[0-9A-Fa-f:.]+\]|[^\s/?#@\\:[\]\x00-\x20]+)(?::(?:[0-5]?\d{0,4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5]))?$/;
const absolute = /^https?:\/\/([^/?#]*)([^#]*)$/i;
/** Characters of a header's name that some servers take for a hyphen. */
const odd = /[^a-z0-9-]/;
const everyOdd = /[^a-z0-9-]/g;
/** Schemes that authenticate a connection from then on: RFC 4559. */
const connectionBound = /^(?:ntlm|negotiate)\b/i;
const digits = /^\d{1,15}$/;

/**
 * Refuses what node's parser lets through although it smuggles or cannot be routed, and takes the request apart in one pass over
 * its headers. Throws RequestError with the reason: `bad_request`, or what is beyond the bounds. Source: RFC 9112 §3.2, §6.1, §6.3.
 */
export function admit(req: ClientRequest, bounds = usualBounds): Admitted {
  const { maxHeaderLines, maxUrlSizeBytes } = bounds;
  // Anybody can write HTTP/2.0 into a line of HTTP/1.1.
  const isHttp2 = req.httpVersionMajor === 2 && req instanceof StreamRequest;
  const isHttp10 = !isHttp2 && req.httpVersionMinor === 0;
  if (!isHttp2 && (req.httpVersionMajor !== 1 || req.httpVersionMinor > 1))
    throw refuse('Another version of HTTP, or another protocol, is not spoken here.');
  const { rawHeaders } = req;
  if (rawHeaders.length > 2 * maxHeaderLines) {
    throw new RequestError('headers_too_large', `There are more than ${maxHeaderLines} header lines.`);
  }
  const headers: string[] = ['Host', ''];
  let proxyHeaders: string[] | undefined;
  let host: string | undefined;
  let length: string | undefined;
  let chunked = false;
  let connection: string | undefined;
  let expectsContinue = false;
  let isBound = false;
  let upgrade: string | undefined;
  for (let index = 0; index < rawHeaders.length; index += 2) {
    const name = rawHeaders[index] as string;
    const value = rawHeaders[index + 1] as string;
    switch (treatmentOf(name)) {
      case treat.forward:
        headers.push(name, value);
        break;
      case treat.host:
        // Two hosts: this proxy and the app would each believe another one.
        if (host !== undefined) throw refuse('There is more than one Host header.');
        host = value;
        break;
      case treat.length:
        if (length !== undefined) throw refuse('There is more than one Content-Length header.');
        length = value;
        break;
      case treat.encoding:
        // Whatever is not exactly `chunked` once is understood differently by different servers.
        if (chunked || value.toLowerCase() !== 'chunked') throw refuse('The only Transfer-Encoding taken is chunked.');
        chunked = true;
        break;
      case treat.connection:
        connection = connection === undefined ? value : `${connection},${value}`;
        break;
      case treat.expect:
        // HTTP/1.0 knows no expectation: RFC 9110 §10.1.1.
        if (isHttp10) break;
        if (value.toLowerCase() !== '100-continue') throw new RequestError('expectation_failed');
        expectsContinue = true;
        break;
      case treat.authorization:
        isBound ||= connectionBound.test(value);
        headers.push(name, value);
        break;
      case treat.upgrade:
        upgrade = upgrade === undefined ? value : `${upgrade}, ${value}`;
        break;
      case treat.proxy:
        (proxyHeaders ??= []).push(name, value);
        break;
      case treat.drop:
        break;
    }
  }
  if (chunked && length !== undefined) throw refuse('There are both Transfer-Encoding and Content-Length.');
  if (chunked && isHttp10) throw refuse('HTTP/1.0 has no Transfer-Encoding.');
  if (length !== undefined && !digits.test(length)) throw refuse('The Content-Length is not a number.');
  const contentLength = length === undefined ? undefined : Number(length);
  // HTTP/2 needs no length, and frames a body itself.
  const hasBody = contentLength === undefined ? chunked || (isHttp2 && !req.complete) : contentLength > 0;
  const method = req.method ?? 'GET';
  const line = requestLine(req.url ?? '', method, host);
  // The parser takes one character for each byte.
  if (line.target.length > maxUrlSizeBytes) throw new RequestError('uri_too_long');
  if (connection !== undefined) dropNamed(headers, connection);
  headers[1] = line.host;
  if (length !== undefined) headers.push('Content-Length', length);
  return {
    method,
    target: line.target,
    host: line.host,
    headers,
    proxyHeaders,
    hasBody,
    contentLength,
    idempotent: idempotent.has(method),
    expectsContinue,
    isBound,
    upgrade:
      upgrade !== undefined && connection !== undefined && /(^|,)\s*upgrade\s*(,|$)/i.test(connection)
        ? upgrade
        : undefined,
  };
}

function treatmentOf(name: string): Treatment {
  const known = treatments.get(name);
  if (known !== undefined) return known;
  const lower = name.toLowerCase();
  const special = treatments.get(lower);
  if (special !== undefined) return special;
  if (!odd.test(lower)) return isProxyHeader(lower) ? treat.proxy : isOurs(lower) ? treat.drop : treat.forward;
  // Servers that map headers to variables read x_forwarded.for as x-forwarded-for: it must not slip past the trust check.
  const plain = lower.replaceAll(everyOdd, '-');
  return isProxyHeader(plain) || isOurs(plain) || (treatments.get(plain) ?? treat.forward) !== treat.forward
    ? treat.drop
    : treat.forward;
}

/** An absolute-form target wins over Host: RFC 9112 §3.2.2. */
function requestLine(url: string, method: string, host: string | undefined): { target: string; host: string } {
  if (method === 'CONNECT') throw refuse('CONNECT is not for this server.');
  const isPlain = url.startsWith('/') || (url === '*' && method === 'OPTIONS');
  const match = isPlain ? undefined : absolute.exec(url);
  if (match === null) throw refuse('The request target is neither a path nor an http URL.');
  const named = match ? (match[1] as string) : host;
  if (named === undefined) throw refuse('There is no Host header.');
  if (named.length > longestHost) throw refuse('The Host header is longer than any host name.');
  if (!authority.test(named)) throw refuse('The Host header is not a host name.');
  if (!match) return { target: url, host: named };
  const rest = match[2] as string;
  return { target: rest.startsWith('/') ? rest : `/${rest}`, host: copied(named) };
}

/** A copy: a slice would keep the whole string in memory, and a host is kept as long as its connection. */
function copied(part: string): string {
  return Buffer.from(part, 'latin1').toString('latin1');
}

/** Drops the further hop-by-hop headers that `Connection` names, except those it may not name (hop-by-hop abuse). */
function dropNamed(headers: string[], connection: string): void {
  const lower = connection.toLowerCase();
  if (lower === 'keep-alive' || lower === 'close' || lower === 'upgrade') return;
  const named = new Set(lower.split(',').map((token) => token.trim()));
  for (const endToEnd of protectedHeaders) named.delete(endToEnd);
  let kept = 2;
  for (let index = 2; index < headers.length; index += 2) {
    if (named.has((headers[index] as string).toLowerCase())) continue;
    headers[kept] = headers[index] as string;
    headers[kept + 1] = headers[index + 1] as string;
    kept += 2;
  }
  headers.length = kept;
}

/** A client could make the app miss these by naming them in `Connection`. */
const protectedHeaders = [
  'authorization',
  'cookie',
  'content-type',
  'origin',
  'sec-websocket-key',
  'sec-websocket-version',
];

function refuse(detail: string): RequestError {
  return new RequestError('bad_request', detail);
}
