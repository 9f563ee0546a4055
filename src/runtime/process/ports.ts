import { listeningSockets } from '../../machine/proc-net.js';
import { Leases, type LeasesOptions } from '../kept/leases.js';
import { isPortFree } from './port-probe.js';

export interface PortsOptions extends Pick<LeasesOptions, 'directory' | 'from' | 'to' | 'clock' | 'isKnown'> {
  /** Address on which apps listen. */
  readonly bindHost: string;
  /** Whether an app can listen on a port; by default `isPortFree`. */
  readonly isFree?: typeof isPortFree;
}

/** The ports of this host that are leased to instances. */
export function portLeases({ bindHost, isFree = isPortFree, ...options }: PortsOptions): Leases {
  return new Leases({
    ...options,
    noun: 'port',
    remedy: 'widen runtimes.process.ports',
    isFree: (port) => isFree(port, bindHost),
    sockets: () => listeningSockets(),
  });
}
