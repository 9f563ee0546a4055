import { isIPv4 } from 'node:net';
import type { Clock } from '../../model/clock.js';
import { parseSubnet, toNumber, toText } from '../network/subnet.js';

const restMs = 60_000;
/** Longest time for which a booting container may hold an address that the engine does not know yet. */
const bootMs = 300_000;

/** The IPv4 addresses of one network, as far as this dispatcher knows; the engine decides which are free. */
export interface AddressPool {
  /** Takes an address never used before, else the one freed longest ago if that was over 60 s ago; undefined if there is none. */
  take(): string | undefined;
  /** Gives an address back; harmless if it is not held. */
  free(address: string): void;
  /** Marks an address that something else holds. */
  occupy(address: string): void;
  /** Takes over what the engine says is in use; frees addresses that are held only here for too long. */
  refresh(inUse: readonly string[]): void;
}

export interface AddressPoolOptions {
  /** IPv4 CIDR. */
  readonly subnet: string;
  /** Addresses that are never given out, such as the gateway. */
  readonly reserved: readonly string[];
  readonly inUse: readonly string[];
  readonly clock: Clock;
  /** Where in the subnet to begin, from 0 to 1, so that a restarted dispatcher gives out no address that was just freed. */
  readonly start: number;
}

/** Throws if `subnet` is not IPv4 CIDR with room for containers. */
export function addressPool({ subnet, reserved, inUse, clock, start }: AddressPoolOptions): AddressPool {
  const { first, count } = parseSubnet(subnet);
  const held = new Map<number, number>();
  /** Freed addresses with their time, the longest free first. */
  const freed = new Map<number, number>();
  const never = new Set(reserved.filter(isIPv4).map(toNumber));
  let begin = Math.floor(start * count) % count;
  let unused = count;

  const occupy = (address: string) => {
    if (isIPv4(address) && !held.has(toNumber(address))) held.set(toNumber(address), clock.monotonic());
  };
  const free = (address: string) => {
    if (!isIPv4(address) || !held.delete(toNumber(address))) return;
    freed.set(toNumber(address), clock.monotonic());
  };
  const neverUsed = (): number | undefined => {
    while (unused > 0) {
      unused -= 1;
      const address = first + begin;
      begin = (begin + 1) % count;
      if (!held.has(address) && !freed.has(address) && !never.has(address)) return address;
    }
    return undefined;
  };
  const rested = (): number | undefined => {
    for (const [address, since] of freed) {
      if (clock.monotonic() - since < restMs) return undefined;
      freed.delete(address);
      if (!held.has(address)) return address;
    }
    return undefined;
  };
  for (const address of inUse) occupy(address);

  return {
    occupy,
    free,
    take() {
      const address = neverUsed() ?? rested();
      if (address === undefined) return undefined;
      held.set(address, clock.monotonic());
      return toText(address);
    },
    refresh(stillInUse) {
      const known = new Set(stillInUse);
      for (const [address, since] of held) {
        if (!known.has(toText(address)) && clock.monotonic() - since >= bootMs) free(toText(address));
      }
      for (const address of stillInUse) occupy(address);
    },
  };
}
