import { isIP } from 'node:net';
import { domainToASCII } from 'node:url';
import type { Parsing } from './schema/fields.js';

/**
 * The domain as the router looks it up: lower case, punycode (UTS 46), no trailing dot; an IPv6 address in its shortest form,
 * without brackets. A wildcard is one whole first label: `*.example.org`.
 */
export function readDomain(text: string): Parsing<string> {
  if (text.includes('://') || text.includes('/')) return { fault: 'must be a host name without scheme and path' };
  const bare = text.replace(/^\[(.*)\]$/, '$1');
  if (isIP(bare) === 6) return { value: new URL(`http://[${bare}]/`).hostname.slice(1, -1) };
  if (text.includes(':')) return { fault: 'must be a host name without a port' };
  const wildcard = text.startsWith('*.');
  const name = wildcard ? text.slice(2) : text;
  if (name.includes('*')) return { fault: 'may hold a wildcard only as its whole first label, such as *.example.org' };
  const ascii = toAscii(name);
  if (ascii === undefined) return { fault: 'must be a host name such as shop.example.org or *.example.org' };
  if (wildcard && isIP(ascii)) return { fault: 'must not be a wildcard of an IP address' };
  const domain = wildcard ? `*.${ascii}` : ascii;
  return domain.length > 253 ? { fault: 'must be at most 253 characters long' } : { value: domain };
}

/** Host names of the DNS: letters, digits, hyphens and underscores, labels of at most 63 characters. */
function toAscii(name: string): string | undefined {
  const ascii = domainToASCII(name).replace(/\.$/, '');
  // WHATWG host parsing reads `1` or `0x7f.1` as an IPv4 address, which is not meant here.
  if (isIP(ascii) === 4 && ascii !== name.replace(/\.$/, '')) return undefined;
  const label = /^[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;
  return ascii !== '' && ascii.split('.').every((part) => label.test(part)) ? ascii : undefined;
}
