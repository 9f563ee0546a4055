import type { OutgoingHttpHeader, OutgoingHttpHeaders } from 'node:http';

/** Fields of a message as node:http2 takes them. */
export type Fields = Record<string, string | string[]>;

/** Concern a connection of HTTP/1.1 only: RFC 9113 §8.2.2. */
const ofConnection = new Set([
  ...['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade', 'http2-settings', 'te'],
]);

/** Of these node takes one line; two make a list, which says the same: RFC 9110 §5.2. Source: node's list. */
const single = new Set([
  ...['access-control-allow-credentials', 'access-control-max-age', 'access-control-request-method', 'age'],
  ...['authorization', 'content-encoding', 'content-language', 'content-length', 'content-location', 'content-md5'],
  ...['content-range', 'content-type', 'date', 'dnt', 'etag', 'expires', 'from', 'host', 'if-match'],
  ...['if-modified-since', 'if-none-match', 'if-range', 'if-unmodified-since', 'last-modified', 'location'],
  ...['max-forwards', 'proxy-authorization', 'range', 'referer', 'retry-after', 'tk', 'upgrade-insecure-requests'],
  ...['user-agent', 'x-content-type-options'],
]);

/** Adds a field to those of a message, in lower case, unless it concerns a connection of HTTP/1.1 only. */
export function addField(fields: Fields, name: string, value: string): void {
  const lower = name.toLowerCase();
  if (ofConnection.has(lower)) return;
  const before = fields[lower];
  if (before === undefined) fields[lower] = value;
  else if (Array.isArray(before)) before.push(value);
  else fields[lower] = single.has(lower) ? `${before}, ${value}` : [before, value];
}

/** The fields of a flat list, or of a mapping. */
export function fieldsOf(headers: OutgoingHttpHeaders | readonly OutgoingHttpHeader[] | undefined): Fields {
  const fields = Object.create(null) as Fields;
  if (Array.isArray(headers)) {
    for (let index = 0; index < headers.length; index += 2)
      addField(fields, String(headers[index]), String(headers[index + 1]));
  } else {
    for (const [name, value] of Object.entries(headers ?? {}))
      for (const each of [value].flat()) if (each !== undefined) addField(fields, name, String(each));
  }
  return fields;
}
