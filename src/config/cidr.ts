import { isIP } from 'node:net';

export type AddressReading = { readonly fault?: string };

/** An IP address, or a subnet in CIDR notation. */
export function readIpOrCidr(text: string): AddressReading {
  if (isIP(text) !== 0) return {};
  return isSubnet(text) ? {} : { fault: 'must be an IP address or subnet such as 10.0.0.0/8' };
}

/** An IPv4 subnet with room for containers: /8 to /29. */
export function readCidr(text: string): AddressReading {
  const bits = Number(text.split('/')[1]);
  const fits = isSubnet(text) && !text.includes(':') && bits >= 8 && bits <= 29;
  return fits ? {} : { fault: 'must be an IPv4 subnet from /8 to /29 such as 10.210.0.0/16' };
}

function isSubnet(text: string): boolean {
  const match = /^([^/]+)\/(\d{1,3})$/.exec(text);
  const family = isIP(match?.[1] ?? '');
  return match !== null && family !== 0 && Number(match[2]) <= (family === 6 ? 128 : 32);
}
