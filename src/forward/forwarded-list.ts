import { isIP } from 'node:net';

/** One hop of a Forwarded header, its values without quotes. */
export interface Hop {
  readonly for?: string;
  readonly host?: string;
  readonly proto?: string;
}

/** A pair and the separator after it. */
const pairPattern =
  /[ \t]*([!#$%&'*+.^_`|~0-9A-Za-z-]+)=(?:"((?:[^"\\]|\\.)*)"|([!#$%&'*+.^_`|~0-9A-Za-z-]+))[ \t]*([;,]|$)/y;
const token = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;
/** Needs no escape between quotes. */
const plain = /^[^"\\\x00-\x1f\x7f]*$/;

/** The hops in a Forwarded header; undefined if it is not valid. Source: RFC 7239 §4. */
export function readForwarded(text: string): Hop[] | undefined {
  const hops: Hop[] = [];
  let hop: Record<string, string> = {};
  const pair = new RegExp(pairPattern);
  for (;;) {
    const match = pair.exec(text);
    if (!match) return undefined;
    const [, name = '', quoted, plain, end] = match;
    hop[name.toLowerCase()] = quoted === undefined ? (plain ?? '') : quoted.replaceAll(/\\(.)/g, '$1');
    if (end === ';') continue;
    hops.push(hop);
    if (end === '') return hops;
    hop = {};
  }
}

/** The hops as a Forwarded header; undefined if one of them cannot be written. */
export function writeForwarded(hops: readonly Hop[]): string | undefined {
  const elements = hops.map(({ for: node, host, proto }) =>
    [
      ...(node === undefined ? [] : [`for=${token.test(node) ? node : `"${node}"`}`]),
      ...(host === undefined ? [] : [`host="${host}"`]),
      ...(proto === undefined ? [] : [`proto=${proto}`]),
    ].join(';'),
  );
  const isSound = hops.every(
    ({ for: node = '', host = '', proto = 'http' }) => plain.test(node) && plain.test(host) && token.test(proto),
  );
  return isSound && !elements.includes('') ? elements.join(', ') : undefined;
}

/** An address of X-Forwarded-For in the form of RFC 7239 §6; undefined if it is none. */
export function nodeOf(address: string): string | undefined {
  const family = isIP(address);
  if (family === 6) return `[${address}]`;
  if (family === 4 || address === 'unknown') return address;
  const withPort = /^(?:\[([^\]]+)\]|([\d.]+))(?::\d{1,5})?$/.exec(address);
  return withPort && isIP(withPort[1] ?? withPort[2] ?? '') > 0 ? address : undefined;
}

/** The address of a node, without brackets and port; `unknown` if it is hidden. */
export function addressOf(node: string): string {
  const [, ipv6, ipv4] = /^(?:\[([^\]]+)\]|([\d.]+))(?::[\w.-]+)?$/.exec(node) ?? [];
  const address = ipv6 ?? ipv4 ?? node;
  return isIP(address) > 0 ? address : 'unknown';
}
