import { isIPv6 } from 'node:net';
import { domainToASCII } from 'node:url';

/** Of a domain in its normal form, in characters: RFC 1035 §2.3.4. */
const longestDomain = 253;
/**
 * The longest Host header that is looked at, in bytes: a domain of four-byte characters, a trailing dot and a port. Converting a
 * name takes time that grows with the square of its length.
 */
export const longestHost = 4 * longestDomain + '.:65535'.length;

const plain = /^[a-z0-9_][a-z0-9_-]*(\.[a-z0-9_][a-z0-9_-]*)*$/;
/** What a URL parser would take for the end of a host name, or drop. */
const noHostName = /[\x00-\x20"#%*/:<>?@[\\\]^`{|}\x7f]/;
const portSuffix = /:\d{0,5}$/;

/**
 * The domain that a Host header (or authority) names: lower case, punycode, without port and trailing dot; an IPv6
 * address without brackets. Undefined if it is not a host name. Source: RFC 9110 §7.2, RFC 5891.
 */
export function domainOf(host: string): string | undefined {
  if (host.length > longestHost) return undefined;
  if (host.startsWith('[')) return ipv6Of(host);
  const name = host.replace(portSuffix, '');
  if (noHostName.test(name)) return undefined;
  const bare = name.replace(/\.$/, '');
  const domain = asWritten(bare) ?? international(bare);
  return domain.length <= longestDomain && plain.test(domain) ? domain : undefined;
}

/** As domainOf, in a few steps, for a name that needs no conversion; undefined for any other. */
export function plainDomainOf(host: string): string | undefined {
  if (host.length > longestDomain + '.:65535'.length) return undefined;
  const domain = asWritten(host.replace(portSuffix, '').replace(/\.$/, ''));
  return domain !== undefined && domain.length <= longestDomain ? domain : undefined;
}

function asWritten(name: string): string | undefined {
  const lower = name.toLowerCase();
  return plain.test(lower) && !lower.includes('xn--') ? lower : undefined;
}

/** Node reads header bytes as Latin-1; browsers send punycode, some clients raw UTF-8. */
function international(name: string): string {
  const utf8 = Buffer.from(name, 'latin1').toString('utf8');
  return domainToASCII(utf8.includes('\uFFFD') ? name : utf8);
}

function ipv6Of(host: string): string | undefined {
  const address = /^\[([^\]]+)\](?::\d{0,5})?$/.exec(host)?.[1] ?? '';
  return isIPv6(address) ? address.toLowerCase() : undefined;
}
