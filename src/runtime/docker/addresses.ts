import { isIPv4 } from 'node:net';
import type { Clock } from '../../model/clock.js';

const restMs = 60_000;
/** A booting container holds its address before the engine knows; longer than that it is not booting. */
const bootMs = 300_000;

/** The IPv4 addresses of one network, as far as this dispatcher knows: the engine has the last word on what is free. */
export interface AddressPool {
  /** An address that is not in use: one never used before, else the one freed longest ago if that was over 60 s ago. */
  take(): string | undefined;
  /** Gives an address back; harmless for one that is not held. */
  free(address: string): void;
  /** Somebody else holds this address. */
  occupy(address: string): void;
  /** Frees what is held here but not by the engine, and occupies what the engine says is in use. */
  refresh(inUse: readonly string[]): void;
}

export interface AddressPoolOptions {
  /** CIDR, IPv4. */
  readonly subnet: string;
  /** Addresses never to be given out: the gateway. */
  readonly reserved: readonly string[];
  readonly inUse: readonly string[];
  readonly clock: Clock;
  /** 0 to 1: where in the subnet to begin, so that a restarted dispatcher does not give out what was just freed. */
  readonly start: number;
}

/** Throws where `subnet` is not IPv4 CIDR with room for containers. */
export function addressPool({ subnet, reserved, inUse, clock, start }: AddressPoolOptions): AddressPool {
  const { first, count } = parseSubnet(subnet);
  const held = new Map<number, number>();
  /** In the order they were freed. */
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

/** The first address that a container may have and how many there are; network and broadcast address are left out. */
export function parseSubnet(subnet: string): { readonly first: number; readonly count: number } {
  const [base = '', bits = ''] = subnet.split('/');
  const length = /^\d{1,2}$/.test(bits) ? Number(bits) : NaN;
  if (!isIPv4(base) || !(length >= 8 && length <= 29)) {
    throw new Error(
      `runtimes.docker.subnet: ${subnet} is not an IPv4 subnet with a prefix of 8 to 29, such as 10.80.0.0/16`,
    );
  }
  const size = 2 ** (32 - length);
  const network = Math.floor(toNumber(base) / size) * size;
  return { first: network + 1, count: size - 2 };
}

/** The engine's choice for a gateway that nobody configured. */
export function firstAddress(subnet: string): string {
  return toText(parseSubnet(subnet).first);
}

function toNumber(address: string): number {
  return address.split('.').reduce((value, part) => value * 256 + Number(part), 0);
}

function toText(address: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join('.');
}
