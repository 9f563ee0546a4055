import { isIP } from 'node:net';
import type { FaultOf } from '../model/schema/fields.js';

/** Of an IP address, or a subnet in CIDR notation. */
export const ipOrCidrFault: FaultOf = (text) =>
  isIP(text) !== 0 || isSubnet(text) ? undefined : 'must be an IP address or subnet such as 10.0.0.0/8';

/** Of an IPv4 subnet with space for containers: as wide as `widest`, to /29. */
export function subnetFault(widest: number): FaultOf {
  return (text) => {
    const bits = Number(text.split('/')[1]);
    const fits = isSubnet(text) && !text.includes(':') && bits >= widest && bits <= 29;
    return fits ? undefined : `must be an IPv4 subnet from /${widest} to /29 such as 10.210.0.0/16`;
  };
}

function isSubnet(text: string): boolean {
  const match = /^([^/]+)\/(\d{1,3})$/.exec(text);
  const family = isIP(match?.[1] ?? '');
  return match !== null && family !== 0 && Number(match[2]) <= (family === 6 ? 128 : 32);
}
