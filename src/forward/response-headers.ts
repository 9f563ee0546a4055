import { RequestError } from '../model/errors.js';
import { isOurs } from './proxy-headers.js';

/** Meant for one connection only: RFC 9110 §7.6.1. `Trailer` is not among them: trailers are passed on. */
const hopByHop = new Set(['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade', 'te']);

/** Lengths of the names above: the length alone rules out most headers. */
const hopByHopLengths = new Set([...hopByHop].map((name) => name.length));

/**
 * An upstream's raw headers as a flat list of strings for writeHead: order, case and repeats kept, hop-by-hop dropped.
 * Throws RequestError `upstream_reset` for a coding of the body that the client would not be told of. `mayTrail`: the client
 * takes chunks, and there is a body.
 */
export function responseHeaders(raw: readonly (Buffer | string)[], statusCode: number, mayTrail: boolean): string[] {
  let headers: string[] = [];
  let named: Set<string> | undefined;
  let announcesTrailer = false;
  for (let index = 0; index < raw.length; index += 2) {
    const name = (raw[index] as Buffer | string).toString('latin1');
    const value = (raw[index + 1] as Buffer | string).toString('latin1');
    if (hopByHopLengths.has(name.length)) {
      const lower = name.toLowerCase();
      if (lower === 'connection') named = tokens(named, value);
      if (lower === 'transfer-encoding' && value.toLowerCase() !== 'chunked') {
        throw new RequestError('upstream_reset', `The app answered with Transfer-Encoding ${JSON.stringify(value)}.`);
      }
      if (lower === 'trailer') announcesTrailer = true;
      if (hopByHop.has(lower) && !(lower === 'upgrade' && statusCode === 426)) continue;
    }
    if (mayBeOurs(name) && isOurs(name)) continue;
    headers.push(name, value);
  }
  if (named) headers = without(headers, named, statusCode);
  // Only chunks have room for trailers; that they are missing costs the client nothing: RFC 9110 §6.5.1.
  if (announcesTrailer && !(mayTrail && !hasLength(headers)))
    headers = without(headers, new Set(['trailer']), statusCode);
  // A 204 must not announce a body: a cache behind us might wait for it and take the next answer for it.
  return statusCode === 204 ? headers.filter((_, at) => !isLength(headers[at - (at % 2)] as string)) : headers;
}

function tokens(known: Set<string> | undefined, value: string): Set<string> | undefined {
  const lower = value.toLowerCase();
  if (lower === 'keep-alive' || lower === 'close') return known;
  const named = known ?? new Set<string>();
  for (const token of lower.split(',')) named.add(token.trim());
  return named;
}

function without(headers: readonly string[], named: ReadonlySet<string>, statusCode: number): string[] {
  return headers.filter((_, index) => {
    const name = (headers[index - (index % 2)] as string).toLowerCase();
    // An app cannot take away what frames its own body. What a 426 asks for is the client's: RFC 9110 §15.5.22.
    return name === 'content-length' || (name === 'upgrade' && statusCode === 426) || !named.has(name);
  });
}

/** One letter rules out most names. */
function mayBeOurs(name: string): boolean {
  return name.charCodeAt(2) === 0x66 || name.charCodeAt(2) === 0x46;
}

function hasLength(headers: readonly string[]): boolean {
  return headers.some((name, index) => index % 2 === 0 && isLength(name));
}

function isLength(name: string): boolean {
  return name.length === 14 && name.toLowerCase() === 'content-length';
}

/** The headers of a 103 as sent, flat, without what is not for the client or frames a body. Never throws. */
export function hintHeaders(raw: readonly (Buffer | string)[]): string[] {
  let named: Set<string> | undefined;
  const headers: string[] = [];
  for (let index = 0; index < raw.length; index += 2) {
    const name = (raw[index] as Buffer | string).toString('latin1');
    const value = (raw[index + 1] as Buffer | string).toString('latin1');
    const lower = name.toLowerCase();
    if (lower === 'connection') named = tokens(named, value);
    if (!hopByHop.has(lower) && !isLength(name) && !isOurs(lower)) headers.push(name, value);
  }
  return named ? without(headers, named, 103) : headers;
}

const framing = new Set(['content-length', 'host', 'trailer']);

/** An upstream's trailers as pairs for addTrailers, without what must not come after a body: RFC 9110 §6.5.1. */
export function responseTrailers(raw: readonly (Buffer | string)[]): [string, string][] {
  const pairs: [string, string][] = [];
  for (let index = 0; index < raw.length; index += 2) {
    const name = (raw[index] as Buffer | string).toString('latin1');
    const lower = name.toLowerCase();
    if (!hopByHop.has(lower) && !framing.has(lower) && !isOurs(lower))
      pairs.push([name, (raw[index + 1] as Buffer | string).toString('latin1')]);
  }
  return pairs;
}
