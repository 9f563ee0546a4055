import { isIP } from 'node:net';
import { domainOf } from '../../model/host-name.js';
import type { AccessRecord } from '../../model/access-record.js';

export type Redaction = 'query' | 'client' | 'userAgent' | 'referer';

export type Format = (record: AccessRecord, redact: readonly Redaction[]) => string;

/** Characters of each text in a line, as it is written; what is longer is cut. */
const longest = { target: 2_000, userAgent: 400, referer: 400, host: 260, short: 140 } as const;

/** One JSON object a line, in ASCII. */
export function jsonLine(record: AccessRecord, redact: readonly Redaction[]): string {
  const { at, app, instance, cold, phases, status, outcome, error, bytesIn, bytesOut, durationMs } = record;
  const { client, target, userAgent, referer } = redacted(record, redact);
  const text = (name: string, value: string | undefined, most: number) =>
    value === undefined ? '' : `"${name}":${quoted(value, most)},`;
  return (
    `{"time":"${new Date(at).toISOString()}",` +
    text('app', app, longest.short) +
    text('instance', instance, longest.short) +
    text('domain', domainIn(record), longest.host) +
    text('client', client, longest.short) +
    text('method', record.method, longest.short) +
    text('target', target, longest.target) +
    `"http":"${record.version}","status":${status},"temperature":"${cold ? 'cold' : 'warm'}","outcome":"${outcome}",` +
    text('error', error, longest.short) +
    `"bytesIn":${bytesIn},"bytesOut":${bytesOut},"durationMs":${durationMs.toFixed(1)}` +
    (phases ? `,"phases":${JSON.stringify(rounded(phases))}` : '') +
    (record.requestId === undefined ? '' : `,"requestId":${quoted(record.requestId, longest.short)}`) +
    (record.traceparent === undefined ? '' : `,"traceparent":${quoted(record.traceparent, longest.short)}`) +
    (userAgent === undefined ? '' : `,"userAgent":${quoted(userAgent, longest.userAgent)}`) +
    (referer === undefined ? '' : `,"referer":${quoted(referer, longest.referer)}`) +
    '}\n'
  );
}

/** The Combined Log Format of Apache, with the domain in front: its `vhost_combined`. */
export function combinedLine(record: AccessRecord, redact: readonly Redaction[]): string {
  const { method, version, status, bytesOut } = record;
  const { client, target, userAgent, referer } = redacted(record, redact);
  const domain = domainIn(record) ?? '-';
  const request =
    target === undefined ? '-' : `${escaped(method, longest.short)} ${escaped(target, longest.target)} HTTP/${version}`;
  const agent = escaped(userAgent ?? '-', longest.userAgent);
  return `${domain} ${escaped(client ?? '-', longest.short)} - - [${apacheTime(record.at)}] "${request}" ${status} ${bytesOut} "${escaped(referer ?? '-', longest.referer)}" "${agent}"\n`;
}

/** Undefined if the host is no name that an app can have. */
function domainIn({ host }: AccessRecord): string | undefined {
  return host === undefined ? undefined : domainOf(host);
}

function redacted(
  { client, target, userAgent, referer }: AccessRecord,
  redact: readonly Redaction[],
): Pick<AccessRecord, 'client' | 'target' | 'userAgent' | 'referer'> {
  const withoutQuery = (url: string | undefined) =>
    url !== undefined && redact.includes('query') ? url.replace(/\?[^]*$/, '?-') : url;
  return {
    client: client !== undefined && redact.includes('client') ? networkOf(client) : client,
    target: withoutQuery(target),
    userAgent: redact.includes('userAgent') ? undefined : userAgent,
    referer: redact.includes('referer') ? undefined : withoutQuery(referer),
  };
}

/** The /24 of an IPv4 address, the /48 of an IPv6 one. */
function networkOf(address: string): string {
  if (isIP(address) === 4) return address.replace(/\.\d+$/, '.0');
  // Behind a proxy an IPv6 client is known by its /64.
  const whole = address.replace(/\/\d+$/, '');
  const groups = whole.split('::')[0]?.split(':').filter(Boolean) ?? [];
  return isIP(whole) === 6 ? `${groups.slice(0, 3).join(':')}::` : '-';
}

/** A JSON string of at most about `most` characters. */
function quoted(text: string, most: number): string {
  const whole = asciiJson(text.length > most ? `${text.slice(0, most)}…` : text);
  // An escape has six characters.
  return whole.length <= most + 8 ? whole : asciiJson(`${text.slice(0, Math.floor(most / 6))}…`);
}

function asciiJson(text: string): string {
  return JSON.stringify(text).replaceAll(/[\u007f-\uffff]/g, (character) => unicode(character));
}

function unicode(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/** As Apache and nginx write it: quotes, backslashes, and what is no printable ASCII, as `\xHH`. */
function escaped(text: string, most: number): string {
  const short = text.length > most ? `${text.slice(0, most)}...` : text;
  const whole = short.replaceAll(/["\\]|[^ -~]/g, hex);
  return whole.length <= most + 3
    ? whole
    : `${text.slice(0, Math.floor(most / 4)).replaceAll(/["\\]|[^ -~]/g, hex)}...`;
}

function hex(character: string): string {
  return `\\x${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0').slice(-2)}`;
}

function rounded(phases: Readonly<Record<string, number>>): Record<string, number> {
  return Object.fromEntries(Object.entries(phases).map(([name, ms]) => [name, Math.round(ms * 10) / 10]));
}

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'] as const;

/** `30/Nov/2026:13:05:09 +0000` */
function apacheTime(at: number): string {
  const [date = '', time = ''] = new Date(at).toISOString().split('T');
  const [year, month, day] = date.split('-');
  return `${day}/${months[Number(month) - 1]}/${year}:${time.slice(0, 8)} +0000`;
}
