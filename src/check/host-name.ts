import { isIPv6 } from 'node:net';
import { domainToASCII } from 'node:url';

const plain = /^[a-z0-9_][a-z0-9_-]*(\.[a-z0-9_][a-z0-9_-]*)*$/;
/** What a URL parser would take for the end of a host name, or drop. */
const noHostName = /[\x00-\x20"#%*/:<>?@[\\\]^`{|}\x7f]/;
const portSuffix = /:\d{1,5}$/;

/**
 * The domain that a Host header (or authority) names: lower case, punycode, without port and trailing dot; an IPv6
 * address without brackets. Undefined where it is not a host name. Source: RFC 9110 §7.2, RFC 5891.
 */
export function domainOf(host: string): string | undefined {
  if (host.startsWith('[')) return ipv6Of(host);
  if (noHostName.test(host.replace(portSuffix, ''))) return undefined;
  const name = host.replace(portSuffix, '').replace(/\.$/, '');
  const lower = name.toLowerCase();
  const domain = plain.test(lower) && !lower.includes('xn--') ? lower : international(name);
  return domain.length <= 253 && plain.test(domain) ? domain : undefined;
}

/** Node hands header bytes over as Latin-1; browsers send punycode, some clients raw UTF-8. */
function international(name: string): string {
  const utf8 = Buffer.from(name, 'latin1').toString('utf8');
  return domainToASCII(utf8.includes('\uFFFD') ? name : utf8);
}

function ipv6Of(host: string): string | undefined {
  const address = /^\[([^\]]+)\](?::\d{1,5})?$/.exec(host)?.[1] ?? '';
  return isIPv6(address) ? address.toLowerCase() : undefined;
}
