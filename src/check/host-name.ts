import { isIPv6 } from 'node:net';
import { domainToASCII } from 'node:url';

const plain = /^[a-z0-9_][a-z0-9_-]*(\.[a-z0-9_][a-z0-9_-]*)*$/;
const portSuffix = /:\d{1,5}$/;

/**
 * The domain that a Host header (or authority) names: lower case, punycode, without port and trailing dot; an IPv6
 * address without brackets. Undefined where it is not a host name. Source: RFC 9110 §7.2, RFC 5891.
 */
export function domainOf(host: string): string | undefined {
  if (host.startsWith('[')) return ipv6Of(host);
  const withoutPort = host.replace(portSuffix, '').replace(/\.$/, '');
  const lower = withoutPort.toLowerCase();
  const domain = plain.test(lower) && !lower.includes('xn--') ? lower : international(lower);
  return domain.length > 0 && domain.length <= 253 && plain.test(domain) ? domain : undefined;
}

/** Node hands header bytes over as Latin-1; browsers send punycode, some clients raw UTF-8. */
function international(name: string): string {
  const utf8 = Buffer.from(name, 'latin1').toString('utf8');
  return domainToASCII(utf8.includes('\uFFFD') ? name : utf8);
}

function ipv6Of(host: string): string | undefined {
  const address = host.slice(1, host.indexOf(']'));
  return isIPv6(address) ? address.toLowerCase() : undefined;
}
