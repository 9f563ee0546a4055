import { isIPv4 } from 'node:net';

/** The first address for containers and how many there are, without network and broadcast address. */
export function parseSubnet(
  subnet: string,
  setting = 'runtimes.docker.subnet',
): { readonly first: number; readonly count: number } {
  const [base = '', bits = ''] = subnet.split('/');
  const length = /^\d{1,2}$/.test(bits) ? Number(bits) : NaN;
  if (!isIPv4(base) || !(length >= 8 && length <= 29)) {
    throw new Error(`${setting}: ${subnet} is not an IPv4 subnet with a prefix of 8 to 29, such as 10.80.0.0/16`);
  }
  const size = 2 ** (32 - length);
  const network = Math.floor(toNumber(base) / size) * size;
  return { first: network + 1, count: size - 2 };
}

/** The address of the gateway: the first one. */
export function firstAddress(subnet: string, setting?: string): string {
  return toText(parseSubnet(subnet, setting).first);
}

/** An IPv4 address as a number. */
export function toNumber(address: string): number {
  return address.split('.').reduce((value, part) => value * 256 + Number(part), 0);
}

/** A number as an IPv4 address. */
export function toText(address: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join('.');
}
