import { connect } from 'node:net';
import type { Address } from '../../model/instance.js';

const limitMs = 1_000;

/**
 * Whether a container itself listens, which a port published for it does not tell: Docker's proxy takes connections before
 * there is anybody to hand them to. Asks at the container's own address; undefined if that is out of reach.
 */
export interface OwnListening {
  at(address: Address): Promise<boolean | undefined>;
}

/** `isRemote`: an address of the engine's network may be somebody else's here. */
export function ownListening(isRemote: boolean): OwnListening {
  let isOutOfReach = isRemote;
  return {
    async at(address) {
      if (isOutOfReach) return undefined;
      const outcome = await tryConnect(address);
      // A daemon in another network namespace learns that once, not with each boot.
      if (outcome === undefined) isOutOfReach = true;
      return outcome;
    },
  };
}

function tryConnect({ host, port }: Address): Promise<boolean | undefined> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: limitMs });
    const end = (outcome: boolean | undefined) => {
      socket.destroy();
      resolve(outcome);
    };
    socket.on('connect', () => end(true));
    socket.on('timeout', () => end(undefined));
    socket.on('error', (error: NodeJS.ErrnoException) => end(error.code === 'ECONNREFUSED' ? false : undefined));
  });
}
